"""Draws the rooms of the package and the imports between them: ``python -m tools.architecture``.

A room is a module or sub-package directly under ``expunge``. Rooms stand on floors: each above all that it imports, and as low
as it can. An arrow is left out where a chain of others says the same. Imports for types alone do not count.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

import grimp

PACKAGE = "expunge"
PICTURE = Path(__file__).parents[1] / "docs/architecture.svg"
ENTRANCES = {"__main__"}
"""Modules that are no rooms."""

WIDTH, FLOOR, HEIGHT, GAP, LETTER = 1160, 84, 34, 14, 7.4
STYLE = """
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; text-anchor: middle; fill: #1b1b1b }
rect { fill: #e6f2ef; stroke: #0b6e4f; rx: 5 }
path { fill: none; stroke: #0b6e4f; stroke-opacity: .45 }
marker path { fill: #0b6e4f; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #eee } rect { fill: #123a30 } path { stroke: #6fcbb0 } marker path { fill: #6fcbb0 }
}
"""

Imports = Mapping[str, frozenset[str]]


def rooms() -> Imports:
    """The rooms that each room imports."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {name: set() for name in map(_room, graph.modules) if name}
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            above, below = _room(importer), _room(imported)
            if above and below and above != below:
                found[above].add(below)
    return {room: frozenset(below) for room, below in sorted(found.items())}


def _room(module: str) -> str:
    """The room of a module; empty for the package itself and its entrances."""
    name = [*module.split("."), ""][1]
    return "" if name in ENTRANCES else name


def floors(imports: Imports) -> list[list[str]]:
    """Rooms by floor, the lowest first.

    Raises:
        ValueError: rooms import each other in a circle.
    """
    placed: list[list[str]] = []
    left = dict(imports)
    while left:
        floor = [room for room, below in left.items() if not below & left.keys()]
        if not floor:
            raise ValueError(f"these rooms import each other in a circle: {', '.join(left)}")
        placed.append(floor)
        left = {room: below for room, below in left.items() if room not in floor}
    return placed


def arrows(imports: Imports) -> list[tuple[str, str]]:
    """The imports that no chain of other imports implies."""
    reach: dict[str, frozenset[str]] = {}
    for room in (room for floor in floors(imports) for room in floor):
        reach[room] = imports[room].union(*(reach[below] for below in imports[room]))
    implied = {room: frozenset[str]().union(*(reach[below] for below in imports[room])) for room in imports}
    return [(room, below) for room in imports for below in sorted(imports[room] - implied[room])]


def threaded(placed: Sequence[Sequence[str]], drawn: Iterable[tuple[str, str]]) -> tuple[list[list[str]], list[list[str]]]:
    """The floors with a waypoint on each that an arrow passes, and the arrows as what they go by, from above."""
    level = {room: number for number, floor in enumerate(placed) for room in floor}
    slots, threads = [list(floor) for floor in placed], []
    for above, below in drawn:
        passed = [(number, f"{above}>{below}@{number}") for number in range(level[above] - 1, level[below], -1)]
        for number, waypoint in passed:
            slots[number].append(waypoint)
        threads.append([above, *(waypoint for _number, waypoint in passed), below])
    return slots, threads


def arranged(slots: Sequence[Sequence[str]], threads: Iterable[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """The middle of each room and waypoint, the lowest floor at the bottom; each stands near what it is joined to."""
    near: dict[str, list[str]] = {name: [] for floor in slots for name in floor}
    for thread in threads:
        for above, below in pairwise(thread):
            near[above].append(below)
            near[below].append(above)
    across = {name: x for floor in slots for name, x in _spread(sorted(floor))}
    for floor in [*slots, *reversed(slots)] * 8:
        wish = {name: sum(across[other] for other in near[name]) / max(1, len(near[name])) for name in floor}
        across |= dict(_spread(sorted(floor, key=lambda name: (round(wish[name], 6), name))))
    return {name: (across[name], (len(slots) - i - 0.5) * FLOOR) for i, floor in enumerate(slots) for name in floor}


def _spread(floor: Sequence[str]) -> Iterator[tuple[str, float]]:
    """The names of a floor in their order, with equal spaces between them."""
    space, x = (WIDTH - sum(map(_width, floor))) / (len(floor) + 1), 0.0
    for name in floor:
        yield name, x + space + _width(name) / 2
        x += space + _width(name)


def _width(name: str) -> float:
    return 1.0 if ">" in name else LETTER * len(name) + 2 * GAP


def picture(imports: Imports) -> str:
    """The rooms and arrows as SVG."""
    slots, threads = threaded(floors(imports), arrows(imports))
    middle = arranged(slots, threads)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(slots) * FLOOR}" role="img">',
            f"<title>Rooms of {PACKAGE} and the imports between them</title>",
            f"<style>{STYLE}</style>",
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M0 0 8 4 0 8z"/></marker>',
            *(_arrow([middle[name] for name in thread]) for thread in threads),
            *(_box(room, *middle[room]) for room in imports),
            "</svg>\n",
        ]
    )


def _arrow(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *between, (to_x, to_y) = points
    path = f"M{x:.0f} {y + HEIGHT / 2:.0f}"
    for (x0, y0), (x1, y1) in pairwise([(x, y + HEIGHT / 2), *between, (to_x, to_y - HEIGHT / 2)]):
        half = (y0 + y1) / 2
        path += f"C{x0:.0f} {half:.0f} {x1:.0f} {half:.0f} {x1:.0f} {y1:.0f}"
    return f'<path d="{path}" marker-end="url(#tip)"/>'


def _box(room: str, x: float, y: float) -> str:
    width = _width(room)
    box = f'<rect x="{x - width / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{width:.0f}" height="{HEIGHT}"/>'
    return f'{box}<text x="{x:.0f}" y="{y + 4:.0f}">{escape(room)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(picture(rooms()), encoding="utf-8")
