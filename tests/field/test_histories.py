"""Many nights at random: whatever files come in whatever order, the table holds what a dictionary holds."""

from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import examples
from tests.field.commands import problems, run
from tests.field.table import stored_rows
from tests.field.test_nightly import SCHEMA, write

HEADING = "who,day,age,postcode,visits"
Row = tuple[str, int, float, int, int]


class Oracle:
    """What the table should hold: rows by person and day, who was forgotten, and files that were added."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = {row[:2]: row for row in rows}
        self.forgotten: set[str] = set()
        self.files = {tuple(rows)}

    def append(self, rows: list[Row]) -> tuple[int, int]:
        """Takes rows with ``--upsert`` and ``--rejects``; how many are new, and how many are set aside."""
        kept = [row for row in rows if row[0] not in self.forgotten]
        if tuple(rows) in self.files:
            return 0, 0
        before = len(self.rows)
        changed = [row for row in kept if self.rows.get(row[:2]) != row]
        self.rows |= {row[:2]: row for row in kept}
        if changed:
            self.files.add(tuple(rows))
        return len(self.rows) - before, len(rows) - len(kept)

    def by_person(self) -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = {}
        for who, *values in sorted(self.rows.values()):
            found.setdefault(who, []).append(dict(zip(HEADING.split(",")[1:], values, strict=True)))
        return found


def night(rng: np.random.Generator, people: int) -> list[Row]:
    keys = {(f"p{rng.integers(people)}", int(rng.integers(4))) for _ in range(int(rng.integers(1, 9)))}
    half = float(rng.choice([0.0, 0.5]))
    return [(who, day, float(rng.integers(20, 90)) + half, 10115, int(rng.integers(9))) for who, day in sorted(keys)]


def written(name: str, rows: list[Row], is_wide: bool) -> None:
    write(name, *(f"{who},{day},{age:g},{code},{n}" for who, day, age, code, n in rows), heading=HEADING)
    assert is_wide or all(row[2].is_integer() for row in rows)


@pytest.mark.parametrize("seed", range(examples(1)))
def test_the_table_is_what_came_in_and_was_not_forgotten(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, is_wide = np.random.default_rng(seed), False
    first = [(f"p{i}", 0, float(20 + i), 10115, i % 9) for i in range(12)]
    written("first.csv", first, is_wide)
    Path("schema.toml").write_text(SCHEMA)
    run("init", "ws", "--data", "first.csv", "--subject", "who", "--schema", "schema.toml", "--row-key", "who,day")
    run("fit", "visits", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
    oracle, nights = Oracle(first), [first]
    take = ("--upsert", "--rejects", "bad.csv", "-w", "ws")
    for _ in range(8):
        rows = nights[int(rng.integers(len(nights)))] if rng.random() < 0.25 else night(rng, 20)
        is_odd = not all(row[2].is_integer() for row in rows)
        written("night.csv", rows, is_wide or is_odd)
        if is_odd and not is_wide:
            assert "--to number" in run("append", "night.csv", "--upsert", "-w", "ws", code=1)["message"]
            run("widen", "age", "--to", "number", "-w", "ws")
            is_wide = True
        done = run("append", "night.csv", *take)
        assert (done["rows"], done.get("set_aside", 0)) == oracle.append(rows)
        nights.append(rows)
        if rng.random() < 0.5 and len({who for who, _day in oracle.rows}) > 5:
            who = str(rng.choice(sorted({who for who, _day in oracle.rows})))
            run("forget", who, "-w", "ws")
            assert run("process", "--now", "-w", "ws")["closed"] == 1
            oracle.forgotten.add(who)
            oracle.rows = {key: row for key, row in oracle.rows.items() if key[0] != who}
        held = stored_rows(Path("ws"), [f"p{i}" for i in range(20)])
        assert {who: sorted(rows, key=itemgetter("day")) for who, rows in held.items()} == oracle.by_person()
    assert problems(Path("ws"), "models") == {}
