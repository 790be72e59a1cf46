"""Every parameter of what the reference documents has its line in a docstring; a list of what is still to do only shrinks."""

import inspect
import re
from enum import Enum
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TO_DO = (Path(__file__).parent / "undocumented.txt").read_text().split()


def documented(docstring: str | None) -> set[str]:
    """The names that the section ``Args:`` speaks of; several may share a line, with commas or semicolons between them."""
    section = re.search(r"^Args:\n((?:    .*\n|\n)*)", inspect.cleandoc(docstring or "") + "\n", flags=re.M)
    if section is None:
        return set()
    heads = re.findall(r"(?:^    |; )((?:``)?[*\w]+(?:``)?(?:, (?:``)?[*\w]+(?:``)?)*):", section[1], flags=re.M)
    return {name.strip("`*") for head in heads for name in head.split(", ")}


def reference() -> list[object]:
    """Classes and functions that a page of the reference shows, those of its modules included."""
    names = re.findall(r"^::: (\S+)", "".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.md")), flags=re.M)
    found: list[object] = []
    for name in names:
        room, _, last = name.rpartition(".")
        try:
            module = import_module(name)
        except ModuleNotFoundError:
            found.append(getattr(import_module(room), last))
        else:
            own = [value for key, value in vars(module).items() if not key.startswith("_")]
            found += [value for value in own if getattr(value, "__module__", None) == module.__name__ and callable(value)]
    return [value for value in found if inspect.isclass(value) or inspect.isfunction(value)]


def missing() -> list[str]:
    """``place.name:parameter`` of every parameter without a line."""
    found = set()
    for value in reference():
        place = f"{value.__module__}.{value.__qualname__}"
        if inspect.isclass(value) and issubclass(value, Enum):  # its members say what they are
            continue
        if inspect.isclass(value):
            said = set().union(*(documented(base.__doc__) for base in value.__mro__ if base is not object))
            own = value.__init__ if value.__init__ is not object.__init__ else None
            found |= {f"{place}:{name}" for name in parameters(own) - said}
            for name, method in inspect.getmembers(value):
                if (
                    not name.startswith("_")
                    and (getattr(method, "__module__", None) or "").startswith("expunge")
                    and inspect.isroutine(method)
                ):
                    home = f"{method.__module__}.{method.__qualname__}"
                    found |= {f"{home}:{parameter}" for parameter in parameters(method) - documented(inspect.getdoc(method))}
        else:
            found |= {f"{place}:{name}" for name in parameters(value) - documented(value.__doc__)}
    return sorted(found)


def parameters(function: object) -> set[str]:
    if function is None or not callable(function):
        return set()
    try:
        signature = inspect.signature(function)
    except ValueError:
        return set()
    return {name for name in signature.parameters if name not in ("self", "cls", "args", "kwargs", "_args", "_kwargs")}


def test_an_undocumented_parameter_is_found():
    arguments = "    X: rows, ``(n, d)``.\n    low, high: an interval; ``mid``: between them.\n"
    text = f"What it does.\n\nArgs:\n{arguments}\nRaises:\n    y: no.\n"
    assert documented(text) == {"X", "low", "high", "mid"}
    assert documented("No section.") == set()


def test_every_parameter_in_the_reference_is_documented():
    found = missing()
    assert [name for name in found if name not in TO_DO] == [], "write their line into Args:"
    assert [name for name in TO_DO if name not in found] == [], (
        "they are documented now: strike them off tests/undocumented.txt"
    )


@pytest.mark.parametrize(
    "name",
    ["LogisticRegression", "Ridge", "PseudoHuberRegressor", "PoissonRegressor", "GammaRegressor", "TweedieRegressor"],
)
def test_nothing_of_an_estimator_is_left_to_do(name):
    rooms = ("expunge.linear_model.",)
    assert [entry for entry in TO_DO if entry.startswith(rooms)] == []
    assert getattr(import_module("expunge.linear_model"), name).__doc__


if __name__ == "__main__":  # strikes off what is documented by now, and what is gone
    left = sorted(set(TO_DO) & set(missing()))
    (Path(__file__).parent / "undocumented.txt").write_text("".join(f"{name}\n" for name in left))
