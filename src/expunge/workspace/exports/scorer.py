"""Scores raw rows by a JSON export of Expunge, with Python alone: the reference of what an export means.

    python scorer.py model.json < rows.jsonl > predictions.jsonl

A row is a JSON object with a value for every column of the schema, null where it is missing.
"""

import json
import sys
from math import exp, hypot, log, nan, sin
from operator import add, mul, sub, truediv
from typing import Any

OPERATIONS: dict[str, Any] = {"+": add, "-": sub, "*": mul, "/": truediv, "min": min, "max": max, "log": log, "sin": sin}
OPERATIONS |= {"if_known": lambda x, a: a if x == x else 0.0, "if_below": lambda x, end, a, b: a if x < end else b}


def is_value(value: Any, text: str) -> bool:
    """Whether a value is this text; whole numbers are written without a decimal point."""
    return value is not None and text == str(int(value) if isinstance(value, float) and value.is_integer() else value)


READING: Any = {"is": is_value, "is_missing": lambda x: x is None or x != x, "number": lambda x: nan if x is None else x}


def feature(formula: Any, row: dict[str, Any]) -> float:
    """The value of a formula for a row."""
    if not isinstance(formula, list):
        return float(formula)
    operation, first, *rest = formula
    if operation in READING:
        return float(READING[operation](row[first], *rest))
    return float(OPERATIONS[operation](*(feature(argument, row) for argument in (first, *rest))))


def classified(t: list[float], classes: list[str]) -> dict[str, Any]:
    """The likeliest class, and the probability of each; of two, t is the log-odds of the second."""
    t = t if len(t) > 1 else [0.0, *t]
    odds = [exp(value - max(t)) for value in t]
    probabilities = {name: value / sum(odds) for name, value in zip(classes, odds, strict=True)}
    return {"prediction": classes[t.index(max(t))], "probabilities": probabilities}


INVERSE_LINKS: dict[str, Any] = {"softmax": classified, "identity": lambda t, _: {"prediction": t[0]}}
INVERSE_LINKS |= {"threshold": lambda t, classes: {"prediction": classes[t[0] > 0]}}
INVERSE_LINKS |= {"exponential": lambda t, _: {"prediction": exp(t[0])}}


def score(model: dict[str, Any], row: dict[str, Any]) -> Any:
    """What the model predicts for a row."""
    x = [0.0 if abs(x := feature(formula, row)) < model["faint"] else x for formula in model["formulas"]]
    norm = hypot(*x) if model["normalise"] and any(x) else 1.0
    t = [sum(map(mul, coef, x)) / norm + intercept for coef, intercept in zip(model["coef"], model["intercept"], strict=True)]
    return INVERSE_LINKS[model["inverse_link"]](t, model["classes"])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        exported = json.load(file)
    for line in sys.stdin:
        print(json.dumps(score(exported, json.loads(line)), ensure_ascii=False))  # noqa: T201
