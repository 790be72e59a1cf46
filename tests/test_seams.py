"""What is a class's own stays its own: nobody reads the underscore names of another object."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/expunge"
FOREIGN = {"_mapping", "_asdict", "_base_loss", "_get_loss", "_and"}
"""Public in spite of its name, in SQLAlchemy and named tuples; and what scikit-learn's own predictors need."""


def own_names(tree: ast.Module) -> set[str]:
    """Underscore names that a module itself gives to its objects, methods and fields."""
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    set_here = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    fields = {
        node.target.id for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    return functions | set_here | fields


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nobody_reads_the_underscore_names_of_another_module(path):
    tree = ast.parse(path.read_text())
    allowed = own_names(tree) | FOREIGN
    read = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in allowed
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")) and ast.unparse(node.value) != "super()"
    ]
    imported = [
        f"line {node.lineno}: {name.name} of {node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("expunge")
        for name in node.names
        if is_private(name.name)
    ]
    assert read + imported == []


def test_no_file_is_too_long_to_be_read_at_once():
    long = {
        str(path.relative_to(SOURCE)): n for path in SOURCE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 400
    }
    assert long == {}
