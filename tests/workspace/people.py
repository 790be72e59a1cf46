"""People to put into workspaces: a small table in which some have several rows, some values are missing."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.ledger.properties import set_property
from expunge.workspace import Workspace, edits
from expunge.workspace.storage import Storage
from tests.forks import once

SCHEMA = """\
normalise = true

[columns."age"]
kind = "number"
low = 0
high = 100

[columns."job"]
kind = "category"
values = ["clerk", "nurse", "pilot"]

[columns."tenure"]
kind = "number"
low = 0
high = 40
"""


FITS: dict[str, Any] = {
    "churn": {"delta": 1e-5},
    "spend": {"model": "ridge", "sigma": 0.05},
    "visits": {"model": "poisson", "penalty": 0.01, "sigma": 0.05},
}
"""How models are fitted, by their names, which are those of their targets."""


def people(n_rows: int = 400, n_subjects: int = 250, seed: int = 0) -> pa.Table:
    """Rows of ``person-0``, ``person-1``…, each with at least one; three columns, three targets."""
    rng = np.random.default_rng(seed)
    owner = np.concatenate([np.arange(n_subjects), rng.integers(0, n_subjects, n_rows - n_subjects)])
    age, tenure = rng.uniform(18, 90, n_rows).round(1), rng.integers(0, 40, n_rows)
    job = rng.choice(["clerk", "nurse", "pilot"], n_rows)
    churn = np.where(rng.random(n_rows) < 1 / (1 + np.exp(3 - age / 20)), "yes", "no")
    visits = rng.poisson(1 + tenure / 20)
    spend = pa.array((age * 0.1 + rng.normal(size=n_rows)).round(3), mask=rng.random(n_rows) < 0.1)
    columns = {"who": [f"person-{i}" for i in owner], "age": age, "job": job, "tenure": tenure}
    return pa.table({**columns, "churn": churn, "visits": visits, "spend": spend})


def with_mail(table: pa.Table) -> pa.Table:
    """The same people, with another id of each."""
    return table.append_column("mail", [[f"{who}@example.org" for who in table["who"].to_pylist()]])


CLASSES = """
[columns."churn"]
kind = "category"
values = ["no", "yes"]
"""
"""Declares the classes, for tables in which one of them is rare."""


def at_once(made: Workspace) -> Workspace:
    """The workspace ``made``, whose requests are worked as soon as they are accepted."""
    path = made.storage.configuration_path
    path.write_text(path.read_text().replace("hold_hours = 1", "hold_hours = 0"))
    with made.storage.database.writing() as connection:
        edits.remember(connection, made.storage)
    return Workspace.open(made.storage.path)


def workspace(
    folder: Path,
    *,
    models: bool | Sequence[str] = True,
    table: pa.Table | None = None,
    database: str | None = None,
    schema: str | None = SCHEMA,
    aliases: tuple[str, ...] = (),
    hashed: tuple[str, ...] = (),
) -> Workspace:
    """A workspace in ``folder / "ws"``, where requests are not held, with three models, or with those named, or with none;
    without ``schema`` one is drafted.

    In files it is a copy of one that is made once in a test run; so two of the same people have the same keys.
    """
    pq.write_table(people() if table is None else table, folder / "people.parquet")
    if schema is not None:
        (folder / "schema.toml").write_text(schema)
    fitted = list(FITS) if models is True else models or []
    if database is not None:
        return _made(folder, fitted, database, schema, aliases, hashed)
    given = repr((fitted, schema, aliases, hashed)).encode() + (folder / "people.parquet").read_bytes()

    def make(kept: Path) -> None:
        for name in ("people.parquet", "schema.toml")[: 1 if schema is None else 2]:
            shutil.copy(folder / name, kept)
        _made(kept, fitted, None, schema, aliases, hashed).storage.database.close()

    return copied(once(hashlib.sha256(given).hexdigest()[:16], make), folder)


def copied(kept: Path, folder: Path) -> Workspace:
    """The workspace in ``kept / "ws"`` as if it had been made in ``folder``, where all that lies beside it is copied too."""
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    storage = Storage(folder / "ws")
    with storage.unproven_database.writing() as connection:
        set_property(connection, "folder", storage.mark())
    storage.unproven_database.close()
    return Workspace.open(folder / "ws")


def _made(
    folder: Path,
    models: Sequence[str],
    database: str | None,
    schema: str | None,
    aliases: tuple[str, ...],
    hashed: tuple[str, ...],
) -> Workspace:
    """A workspace of the people and by the schema in ``folder``."""
    given = None if schema is None else folder / "schema.toml"
    data = str(folder / "people.parquet")
    made = at_once(
        Workspace.create(folder / "ws", data, "who", aliases=aliases, hashed_aliases=hashed, schema=given, database=database)
    )
    for name in models:
        made.fit(name, name, **FITS[name])
    return made


def append_rows(folder: Path, who: list[str], seed: int = 1) -> str:
    """A file with a row each of these people, who may be anybody."""
    path = folder / f"rows-{len(who)}.parquet"
    pq.write_table(people(len(who), len(who), seed).set_column(0, "who", [who]), path)
    return str(path)
