"""A page of claims: sections with text, tables and figures, written as Markdown with SVG figures beside it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """Columns and rows of text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As a Markdown table, the first column left, the others right."""
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Section:
    """One claim: what is claimed, what was found, and the evidence.

    Args:
        name: of its files.
        title: of its heading.
        claim: what the paper or the theory says.
        finding: what was measured here.
        tables: evidence.
        figure: a matplotlib figure, and ``caption`` what it shows.
    """

    name: str
    title: str
    claim: str
    finding: str
    tables: Sequence[Table] = field(default_factory=tuple)
    figure: Any = None
    caption: str = ""

    def write(self, folder: Path) -> str:
        """Saves the figure in ``folder`` and returns the section as Markdown."""
        parts = [f"## {self.title}", f"**Claim.** {self.claim}", f"**Found.** {self.finding}"]
        parts += [table.markdown() for table in self.tables]
        if self.figure is not None:
            self.figure.savefig(folder / f"{self.name}.svg", metadata={"Date": None, "Creator": None})
            parts.append(f"![{self.caption}]({self.name}.svg)")
        return "\n\n".join(parts)
