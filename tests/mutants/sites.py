"""The mutants of a module: cosmic-ray's, thinned to about one telling fault for each place in the code.

cosmic-ray offers a dozen operators for one ``*``, and mutates annotations. ``mutants.toml`` names the operators kept. Texts
for people (f-strings, what is raised) and annotations are left alone.
"""

import ast
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec

SETTINGS = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text())
Position = tuple[int, int]


@dataclass(frozen=True)
class Mutant:
    """A module with one fault in it.

    Args:
        path: of the module, from the root of the project.
        function: qualified name of what holds the fault, ``""`` for the module.
        was: the line changed.
        now: what the fault made of it.
        source: the whole text of the mutated module.
    """

    path: str
    function: str
    was: str
    now: str
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Says what it is without line numbers, so that it holds while the rest of the file changes."""
        module = self.path.removeprefix("src/expunge/").removesuffix(".py")
        return f"{module}.{self.function}".rstrip("."), self.was, self.now

    def entry(self) -> str:
        """As it is written in ``survivors.toml``."""
        place, was, now = self.key
        return f"[[survivor]]\nin = \"{place}\"\nwas = '{was}'\nnow = '{now}'\nwhy = \"\"\n"


@dataclass(frozen=True)
class Module:
    """The source of a module under test."""

    root: Path
    path: str

    @cached_property
    def text(self) -> str:
        return (self.root / self.path).read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def specs(self) -> list[MutationSpec]:
        """The faults kept, in the order of the file."""
        with tempfile.TemporaryDirectory() as folder, use_db(Path(folder) / "session.sqlite") as session:
            init([self.root / self.path], session, {})
            found = [item.mutations[0] for item in session.work_items]
        return sorted((spec for spec in found if self._is_telling(spec)), key=lambda spec: (spec.start_pos, spec.operator_name))

    def mutant(self, spec: MutationSpec) -> Mutant | None:
        """The module with the fault ``spec``, ``None`` if that changes no code or leaves none."""
        source = mutate_code(self.text, get_operator(spec.operator_name)(), spec.occurrence)
        if _meaning(source) in (None, ast.dump(self.tree)):
            return None
        was, now = _changed_lines(self.text, source)
        return Mutant(self.path, self._function(spec.start_pos[0]), was, now, source)

    def _is_telling(self, spec: MutationSpec) -> bool:
        operator = spec.operator_name.removeprefix("core/")
        if operator not in SETTINGS["operators"] or any(start <= spec.start_pos < end for start, end in self._spared):
            return False
        if operator.startswith("ReplaceBinary") and not any(start < spec.start_pos < end for start, end in self._calculations):
            return False  # the star of a signature
        if operator == "NumberReplacer":  # it adds 1, then takes 1 off: an index moves up, a bound comes out smaller
            is_lowered = spec.occurrence % 2 == 1
            return is_lowered == (self._text_at(spec.start_pos, spec.end_pos) in self._floats)
        return not (operator == "AddNot" and spec.start_pos in self._comparisons)

    def _text_at(self, start: Position, end: Position) -> str:
        return self.text.splitlines()[start[0] - 1][start[1] : end[1]]

    @cached_property
    def _floats(self) -> set[str]:
        return {
            ast.get_source_segment(self.text, node) or ""
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, float)
        }

    @cached_property
    def _spared(self) -> list[tuple[Position, Position]]:
        """Where nothing is mutated: annotations and texts for people."""
        return [self._span(node) for node in _spared(self.tree)]

    @cached_property
    def _calculations(self) -> list[tuple[Position, Position]]:
        return [self._span(node) for node in ast.walk(self.tree) if isinstance(node, ast.BinOp)]

    @cached_property
    def _comparisons(self) -> set[Position]:
        """Starts of conditions that are one comparison, which an operator of its own negates."""
        tests = [node.test for node in ast.walk(self.tree) if isinstance(node, ast.If | ast.While | ast.IfExp)]
        return {self._span(test)[0] for test in tests if isinstance(test, ast.Compare) and len(test.ops) == 1}

    def _span(self, node: ast.expr | ast.stmt) -> tuple[Position, Position]:
        """Line and column in characters; ``ast`` counts columns in bytes."""
        lines = self.text.splitlines()

        def place(line: int, column: int) -> Position:
            return line, len(lines[line - 1].encode()[:column].decode())

        return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)

    def _function(self, line: int) -> str:
        names, body = [], self.tree.body
        while body:
            for node in body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    if first <= line <= node.end_lineno:
                        names.append(node.name)
                        body = node.body
                        break
            else:
                break
        return ".".join(names)


def _spared(tree: ast.Module) -> Iterator[ast.expr | ast.stmt]:
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr() | ast.Raise():
                yield node
            case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=ast.expr() as annotation):
                yield annotation
            case ast.FunctionDef(returns=ast.expr() as returns):
                yield returns


def _meaning(source: str) -> str | None:
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return None


def _changed_lines(before: str, after: str) -> tuple[str, str]:
    a, b = before.splitlines(), after.splitlines()
    (_tag, a0, a1, b0, b1), *_ = [op for op in SequenceMatcher(None, a, b, autojunk=False).get_opcodes() if op[0] != "equal"]
    return _plain(a[a0:a1]), _plain(b[b0:b1])


def _plain(lines: list[str]) -> str:
    """Without comments, and with single spaces."""
    return " ".join(" ".join(line.split("  # ")[0] for line in lines).split())
