"""Scores raw rows, JSON objects with all columns of the schema (null: missing), by a JSON export: what an export means.

python scorer.py model.json < rows.jsonl > predictions.jsonl
"""

import json
import sys
from itertools import pairwise
from math import exp, hypot, log, nan, sin, tanh
from operator import add, mod, mul, sub, truediv
from typing import Any

OPERATIONS: dict[str, Any] = {"+": add, "-": sub, "*": mul, "/": truediv, "min": min, "max": max, "log": log, "sin": sin}
OPERATIONS |= {"mod": mod, "if_known": lambda x, a: a if x == x else 0.0, "if_below": lambda x, end, a, b: a if x < end else b}


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


def classified(t: list[float], classes: list[str], steps: bool = False) -> dict[str, Any]:
    """The likeliest class and all probabilities, by log-odds: the second's of two, or those of being above each cut-point."""
    t = t if len(t) > 1 or steps else [0.0, *t]
    odds, above = [exp(value - max(t)) for value in t], [1.0, *(0.5 + tanh(value / 2.0) / 2.0 for value in t), 0.0]
    p = [a - b for a, b in pairwise(above)] if steps else [value / sum(odds) for value in odds]
    return {"prediction": classes[p.index(max(p))], "probabilities": dict(zip(classes, p, strict=True))}


INVERSE_LINKS: dict[str, Any] = {"softmax": classified, "cumulative": lambda t, classes: classified(t, classes, True)}
INVERSE_LINKS |= {"threshold": lambda t, classes: {"prediction": classes[t[0] > 0]}}
INVERSE_LINKS |= {"identity": lambda t, _: {"prediction": t[0]}, "exponential": lambda t, _: {"prediction": exp(t[0])}}


def score(model: dict[str, Any], row: dict[str, Any]) -> Any:
    """What the model predicts for a row."""
    x = [0.0 if abs(x := feature(formula, row)) < model["faint"] else x for formula in model["formulas"]]
    norm, offset = hypot(*x) if model["normalise"] and any(x) else 1.0, feature(model.get("offset", 0.0), row)
    t = [sum(map(mul, coef, x)) / norm + b + offset for coef, b in zip(model["coef"], model["intercept"], strict=True)]
    return INVERSE_LINKS[model["inverse_link"]](t, model["classes"])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        exported = json.load(file)
    for line in sys.stdin:
        print(json.dumps(score(exported, json.loads(line)), ensure_ascii=False))  # noqa: T201
