"""What is a class's own stays its own, a family of words has one owner, and no file is too long."""

import ast
import re
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


def words_of(tree: ast.Module) -> set[str]:
    """The values of the families of words (enums of strings) that a module defines."""
    families = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & {"StrEnum", "Word"}
    ]
    return {
        member.value.value
        for family in families
        for member in family.body
        if isinstance(member, ast.Assign) and isinstance(member.value, ast.Constant) and isinstance(member.value.value, str)
    }


def own_words(tree: ast.Module) -> set[str]:
    """The words that a module declares as a type of its own, which may be spelled as those of another family."""
    literals = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal"]
    constants = [part for literal in literals for part in ast.walk(literal.slice) if isinstance(part, ast.Constant)]
    return {part.value for part in constants if isinstance(part.value, str)}


def compared(tree: ast.Module) -> list[tuple[int, str]]:
    """Texts, with their lines, that something is compared with in a module."""
    sides = [side for node in ast.walk(tree) if isinstance(node, ast.Compare) for side in (node.left, *node.comparators)]
    sides += [node.value for node in ast.walk(tree) if isinstance(node, ast.MatchValue)]
    found = []
    for side in sides:
        parts = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
        found += [(part.lineno, part.value) for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return found


TREES = {str(path.relative_to(SOURCE)): ast.parse(path.read_text()) for path in SOURCE.rglob("*.py")}
WORDS = {word: name for name, tree in TREES.items() for word in words_of(tree)}


def test_the_families_of_words_are_found():
    assert {"refit", "certified", "logistic", "operator", "release.certified", "unknown-subject", "local"} <= set(WORDS)


@pytest.mark.parametrize("name", sorted(TREES))
def test_nobody_compares_with_a_word_of_a_family_by_writing_it_again(name):
    foreign = WORDS.keys() - own_words(TREES[name])
    again = [f"line {line}: {text!r} of {WORDS[text]}" for line, text in compared(TREES[name]) if text in foreign]
    assert again == []


INSIDE = {"sealing.py rows", "log.py content", "database.py arguments"}
"""Of the ledger's own: rows that its other files make dataclasses of, and what goes to a database or into the log."""
UNTYPED = re.compile(r"\b(dict|Mapping)\[[^\[\]]*, (Any|object)\]|\bRow\[Any\]")
HELD = {"figures.py content", "events.py content", "events.py proof", "log.py prove_consistency"}
"""JSON that is handed on as it is: evidence and log entries beside the fields read from them, proofs as pymerkle has them."""


@pytest.mark.parametrize("room", ["workspace", "ledger"])
def test_rooms_hand_out_dataclasses(room):
    """No field and no result is a mapping of anything, or a row of a database; only what is about to be JSON is."""
    untyped = []
    for path in sorted((SOURCE / room).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
                name, kind = node.name, ast.unparse(node.returns)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name, kind = node.target.id, ast.unparse(node.annotation)
            else:
                continue
            if UNTYPED.search(kind) and name != "as_json" and not is_private(name):
                untyped.append(f"{path.name} {name}")
    known = {name for name in INSIDE | HELD if (SOURCE / room / name.split()[0]).exists()}
    assert set(untyped) == known


READERS = {"evidence": {"ledger/figures.py"}, "specification": {"workspace/outline.py"}}
"""Who takes the stored text of these apart, beside the classes that write it (``Certificate``, ``Specification``)."""


@pytest.mark.parametrize("stored", sorted(READERS))
def test_nobody_else_takes_stored_json_apart(stored):
    """``json.loads`` of something called so, anywhere."""
    found = set()
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "json.loads":
                parts = [part for argument in node.args for part in ast.walk(argument)]
                names = {part.attr for part in parts if isinstance(part, ast.Attribute)}
                names |= {part.id for part in parts if isinstance(part, ast.Name)}
                found |= {name} if stored in names else set()
    assert found == READERS[stored]
