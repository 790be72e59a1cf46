"""Drawings as inline SVG, without script, style sheet or anything fetched; readable on light and on dark ground."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 60, 10, 8, 38
"""Margins around the area in which something is drawn."""
ROW = 17
"""Height of a category's row."""
COLOURS = ("#0e8a8a", "#c4462f", "#5a78d6", "#b8860b", "#8a4fbf", "#5d8a2f")
LONGEST = 18
"""Letters of a category's name that are shown."""


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``.

    Args:
        low: number at its beginning.
        high: number at its end.
        name: what it shows.
        labels: texts at its beginning, middle and end. Default: the numbers there.
    """

    low: float
    high: float
    name: str
    labels: tuple[str, ...] = ()

    @classmethod
    def around(cls, numbers: Sequence[float], name: str) -> "Axis":
        """An axis that has room for all ``numbers``.

        Args:
            numbers: what is drawn along it.
            name: what it shows.
        """
        finite = [number for number in numbers if math.isfinite(number)] or [0.0]
        low, high = min(finite), max(finite)
        room = 0.05 * (high - low) or max(1e-9, 0.1 * abs(high)) or 1.0
        return cls(low - room, high + room, name)

    def place(self, number: float) -> float:
        """The share of the way along the axis, 0 to 1.

        Args:
            number: where.
        """
        share = (number - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Shares of the way, and the texts there."""
        texts = self.labels or tuple(f"{number:.3g}" for number in (self.low, 0.5 * (self.low + self.high), self.high))
        return [(i / (len(texts) - 1), text) for i, text in enumerate(texts)]


@dataclass
class Drawing:
    """A drawing of numbers along two axes.

    Args:
        text: what it shows, for those who do not see it.
        x: the axis across.
        y: the axis upwards.
        height: of the whole. Default: 190.
        left: margin on the left. Default: 60.
        width: of the whole. Default: 320.
    """

    text: str
    x: Axis
    y: Axis
    height: int = HEIGHT
    left: int = LEFT
    width: int = WIDTH
    _parts: list[str] = field(default_factory=list, repr=False)

    def line(self, points: Sequence[tuple[float, float]], colour: str, *, is_dashed: bool = False) -> None:
        """Draws a line through ``points``."""
        dash = ' stroke-dasharray="4 3"' if is_dashed else ""
        path = self._path(points).replace(" ", "L")
        self._parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')

    def band(self, lower: Sequence[tuple[float, float]], upper: Sequence[tuple[float, float]], colour: str) -> None:
        """Fills what is between two lines."""
        path = self._path([*lower, *reversed(upper)])
        self._parts.append(f'<polygon points="{path}" fill="{colour}" fill-opacity="0.18" stroke="none"/>')

    def point(self, x: float, y: float, colour: str, text: str = "", *, is_hollow: bool = False) -> None:
        """Draws a point, with a ``text`` that is shown where one points at it."""
        title = f"<title>{escape(text)}</title>" if text else ""
        fill = "none" if is_hollow else colour
        across, up = self._placed((x, y))
        place = f'cx="{across}" cy="{up}" rx="3.5" ry="3.5"'
        self._parts.append(f'<ellipse {place} fill="{fill}" stroke="{colour}" stroke-width="1.5">{title}</ellipse>')

    def word(self, x: float, y: float, text: str) -> None:
        """Writes ``text`` above a point."""
        across, up = self._placed((x, y))
        self._parts.append(_text(across, up - 7, text, "middle"))

    def __str__(self) -> str:
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        parts = [
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}" role="img" '
            f'aria-label="{escape(self.text)}" font-family="system-ui, sans-serif">',
            f'<path d="M{self.left},{TOP}V{bottom}H{right}" fill="none" stroke="currentColor" stroke-opacity="0.5"/>',
        ]
        for share, text in self.x.ticks:
            anchor = "start" if share == 0.0 else "end" if share == 1.0 else "middle"
            parts.append(_text(self.left + share * (right - self.left), bottom + 15, text, anchor))
        for share, text in self.y.ticks:
            parts.append(_text(self.left - 4, bottom - share * (bottom - TOP) + 4, text, "end"))
        parts.append(_text(0.5 * (self.left + right), self.height - 6, self.x.name, "middle"))
        return "".join([*parts, *self._parts, "</svg>"])

    def _path(self, points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x},{y}" for x, y in map(self._placed, points))

    def _placed(self, point: tuple[float, float]) -> tuple[float, float]:
        across, up = self.width - RIGHT - self.left, self.height - BOTTOM - TOP
        return (
            round(self.left + self.x.place(point[0]) * across, 1),
            round(self.height - BOTTOM - self.y.place(point[1]) * up, 1),
        )


def rows_of_categories(names: Sequence[str], x: Axis, text: str) -> Drawing:
    """A drawing with a row for each category, the first at the top; row ``i`` is at the height −i.

    Args:
        names: of the categories.
        x: the axis across.
        text: what it shows.
    """
    short = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    labels = ["", *(label for name in reversed(short) for label in (name, ""))]  # a name in the middle of each row
    y = Axis(0.5 - len(short), 0.5, "", tuple(labels))
    return Drawing(text, x, y, TOP + BOTTOM + ROW * len(short), 130)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="currentColor">{escape(text)}</text>'
