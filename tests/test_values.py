"""States and what they are made of are values: nobody changes them, and arrays within are not compared one by one."""

import importlib
import pkgutil
from dataclasses import fields, is_dataclass
from typing import Any

import expunge.numerics
import expunge.problem
import expunge.unlearning

CHANGED_IN_USE = {"LineSearch", "Passes"}


def test_values_cannot_be_changed_and_what_holds_arrays_is_compared_by_identity():
    kinds: set[Any] = set()
    for package in (expunge.numerics, expunge.problem, expunge.unlearning):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found = vars(importlib.import_module(module.name)).values()
            kinds |= {kind for kind in found if isinstance(kind, type) and is_dataclass(kind)}
    assert {kind.__name__ for kind in kinds if not kind.__dataclass_params__.frozen} == CHANGED_IN_USE
    holders = [kind for kind in kinds if any("ndarray" in str(field.type) for field in fields(kind))]
    assert {kind.__name__ for kind in holders if kind.__dataclass_params__.eq} <= CHANGED_IN_USE
    assert len(holders) > 10
