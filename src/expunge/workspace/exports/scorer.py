"""Scores raw rows by a JSON export of Expunge, with Python alone: the reference of what an export means.

    python scorer.py model.json < rows.jsonl > predictions.jsonl

A row is a JSON object with a value for every column of the schema, null where it is missing.
"""

import json
import math
import operator
import sys
from typing import Any

OPERATIONS: dict[str, Any] = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
OPERATIONS |= {"min": min, "max": max}


def is_value(value: Any, text: str) -> bool:
    """Whether a value is this text; whole numbers are written without a decimal point."""
    return value is not None and text == str(int(value) if isinstance(value, float) and value.is_integer() else value)


def feature(formula: Any, row: dict[str, Any]) -> float:
    """The value of a formula for a row."""
    if not isinstance(formula, list):
        return float(formula)
    operation, first, *rest = formula
    if operation == "is":
        return float(is_value(row[first], rest[0]))
    if operation in ("number", "if_known"):
        x = math.nan if row[first] is None else float(row[first])
        return x if operation == "number" else 0.0 if math.isnan(x) else feature(rest[0], row)
    return float(OPERATIONS[operation](feature(first, row), feature(rest[0], row)))


def classified(t: list[float], classes: list[str]) -> dict[str, Any]:
    """The likeliest class, and the probability of each; of two, t is the log-odds of the second."""
    t = [0.0, *t] if len(t) == 1 else t
    odds = [math.exp(value - max(t)) for value in t]
    probabilities = {name: value / sum(odds) for name, value in zip(classes, odds, strict=True)}
    return {"prediction": classes[t.index(max(t))], "probabilities": probabilities}


INVERSE_LINKS: dict[str, Any] = {"softmax": classified, "identity": lambda t, _: {"prediction": t[0]}}
INVERSE_LINKS |= {"exponential": lambda t, _: {"prediction": math.exp(t[0])}}


def score(model: dict[str, Any], row: dict[str, Any]) -> Any:
    """What the model predicts for a row."""
    x = [0.0 if abs(x := feature(formula, row)) < model["faint"] else x for formula in model["formulas"]]
    norm = math.hypot(*x) if model["normalise"] and any(x) else 1.0
    dots = [sum(w * value / norm for w, value in zip(coef, x, strict=True)) for coef in model["coef"]]
    return INVERSE_LINKS[model["inverse_link"]](list(map(operator.add, dots, model["intercept"])), model["classes"])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        exported = json.load(file)
    for line in sys.stdin:
        print(json.dumps(score(exported, json.loads(line)), ensure_ascii=False))  # noqa: T201
