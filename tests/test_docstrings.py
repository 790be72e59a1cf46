"""Docstrings: every argument of what the reference shows has a line of its own, and examples are there where they help."""

import ast
import inspect
import re
import textwrap
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from expunge import linear_model

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for page in (ROOT / "docs/reference").rglob("*.md") if "\n::: " in page.read_text())
FILES = sorted(path for room in ("src", "benchmarks", "tools") for path in (ROOT / room).rglob("*.py"))


def section(docstring: str | None) -> str:
    """The text under ``Args:``."""
    found = re.search(r"^Args:\n((?:    .*\n|\n)*)", inspect.cleandoc(docstring or "") + "\n", flags=re.M)
    return found[1] if found else ""


def documented(docstring: str | None) -> list[str]:
    """What each line under ``Args:`` speaks of; continued lines are indented further."""
    return re.findall(r"^    (?! )\*{0,2}(.*?)(?:: |$)", section(docstring), flags=re.M)


def shown(page: Path) -> list[Any]:
    """Classes and functions that a page of the reference shows, those of its modules included."""
    found: list[Any] = []
    for name in re.findall(r"^::: (\S+)", page.read_text(), flags=re.M):
        room, _, last = name.rpartition(".")
        try:
            module = import_module(name)
        except ModuleNotFoundError:
            found.append(getattr(import_module(room), last))
        else:
            public = getattr(module, "__all__", [key for key in vars(module) if not key.startswith("_")])
            own = [getattr(module, key) for key in public]
            found += [value for value in own if (getattr(value, "__module__", None) or "").startswith(module.__name__)]
    return [value for value in found if inspect.isclass(value) or inspect.isfunction(value)]


def parameters(function: Any) -> set[str]:
    names = inspect.signature(function).parameters
    return {name for name in names if name not in ("self", "cls", "args", "kwargs", "_args", "_kwargs")}


def is_method(value: object) -> bool:
    return inspect.isfunction(value) or inspect.ismethod(value)


def is_ours(value: object) -> bool:
    return (getattr(value, "__module__", None) or "").split(".")[0] in ("expunge", "benchmarks")


def methods(value: type) -> dict[str, Any]:
    """The public methods and properties of a class that are ours, inherited ones included."""
    return {
        name: found
        for name, found in inspect.getmembers(value)
        if not name.startswith("_") and (isinstance(inspect.getattr_static(value, name), property) or is_method(found))
        if is_ours(getattr(inspect.getattr_static(value, name), "fget", None) or found)
    }


def missing(value: Any) -> set[str]:
    """``place.name:parameter`` of every parameter without a line; methods that are inherited are looked for in the bases."""
    place = f"{value.__module__}.{value.__qualname__}"
    if not inspect.isclass(value):
        return {f"{place}:{name}" for name in parameters(value) - set(documented(value.__doc__))}
    texts = [value.__new__.__doc__, *(base.__doc__ for base in value.__mro__ if base is not object)]
    said = {name for text in texts for name in documented(text)}
    is_made = is_ours(value.__init__) or is_ours(value.__new__)
    is_made = is_made and not issubclass(value, Warning | Enum)  # members of an enum say what they are
    found = {f"{place}:{name}" for name in (parameters(value) if is_made else set()) - said}
    for name, method in methods(value).items():
        if is_method(method):
            found |= {f"{place}.{name}:{argument}" for argument in parameters(method) - set(documented(inspect.getdoc(method)))}
    return found


def test_an_undocumented_argument_is_found():
    def scaled(X, low, mid, high):
        """What it does.

        Args:
            X: rows, ``(n, d)``.
                This is still of X: it has more to say.
            low, high: the ends.

        Raises:
            ValueError: mid is outside.
        """

    assert documented(scaled.__doc__) == ["X", "low, high"]
    assert {name.split(":")[1] for name in missing(scaled)} == {"low", "mid", "high"}
    assert documented("No section.") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_argument_in_the_reference_is_documented(page):
    values = shown(page)
    assert values
    assert sorted(set().union(*map(missing, values))) == [], "write their line into Args:"


def arguments(node: ast.AST) -> set[str]:
    """The arguments of a function, or of what makes a class: its ``__init__``, or its fields."""
    if isinstance(node, ast.ClassDef):
        fields = [
            field.target.id for field in node.body if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        ]
        makers = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name in ("__init__", "__new__")]
        return {*fields, *(name for maker in makers for name in arguments(maker))}
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arguments_have_a_line_each_and_exist(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            text = section(ast.get_docstring(node))
            known = arguments(node)
            assert [head for head in documented(ast.get_docstring(node)) if head not in known] == [], node.name
            inline = [name for name in known if re.search(rf"[;,.] `{{0,2}}{name}`{{0,2}}: ", text)]
            assert inline == [], f"{node.name}: give these a line of their own"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_are_under_their_heading(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            outside = re.sub(r"^Examples:\n((?:    .*\n|\n)*)", "", f"{ast.get_docstring(node)}\n", flags=re.M)
            assert ">>> " not in outside, f"{getattr(node, 'name', path.name)}: the site would show it as a quotation"


@pytest.mark.parametrize("name", linear_model.__all__)
def test_every_method_of_an_estimator_has_an_example(name):
    estimator = getattr(linear_model, name)
    assert ">>> " in (estimator.__doc__ or "")
    assert [name for name, method in methods(estimator).items() if ">>> " not in (inspect.getdoc(method) or "")] == []


def raised(function: Any) -> set[str]:
    """The kinds of errors that a function's own body raises."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    names = [ast.unparse(error.func if isinstance(error, ast.Call) else error) for error in found]
    return {name for name in names if name[0].isupper()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_raised_is_documented(page):
    unsaid = set()
    for value in shown(page):
        own = {"": value} if not inspect.isclass(value) else {name: f for name, f in methods(value).items() if is_method(f)}
        makers = [
            f
            for name, f in vars(value).items()
            if name in ("__init__", "__post_init__") and f.__code__.co_filename != "<string>"
        ]
        texts = {name: (inspect.getdoc(function) or "", raised(function)) for name, function in own.items()}
        is_made = not getattr(value, "_is_protocol", False)
        texts["made"] = (inspect.getdoc(value) or "", set().union(*map(raised, makers)) if is_made else set())
        for name, (text, kinds) in texts.items():
            said = text.partition("Raises")[2]
            unsaid |= {f"{value.__name__}.{name}: {kind}" for kind in kinds if kind not in said}
    assert not unsaid, f"say so under Raises: {sorted(unsaid)}"
