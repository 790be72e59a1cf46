"""People to put into workspaces: a small table in which some have several rows, some values are missing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expunge.workspace import Workspace, edits

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
    models: bool = True,
    table: pa.Table | None = None,
    database: str | None = None,
    schema: str | None = SCHEMA,
    aliases: tuple[str, ...] = (),
    hashed: tuple[str, ...] = (),
) -> Workspace:
    """A workspace in ``folder / "ws"`` with three models, where requests are not held; without ``schema`` one is drafted."""
    pq.write_table(people() if table is None else table, folder / "people.parquet")
    given = None if schema is None else folder / "schema.toml"
    if given is not None:
        given.write_text(str(schema))
    data = str(folder / "people.parquet")
    made = at_once(
        Workspace.create(folder / "ws", data, "who", aliases=aliases, hashed_aliases=hashed, schema=given, database=database)
    )
    if models:
        made.fit("churn", "churn", delta=1e-5)
        made.fit("spend", "spend", model="ridge", sigma=0.05)
        made.fit("visits", "visits", model="poisson", penalty=0.01, sigma=0.05)
    return made


def append_rows(folder: Path, who: list[str], seed: int = 1) -> str:
    """A file with a row each of these people, who may be anybody."""
    path = folder / f"rows-{len(who)}.parquet"
    pq.write_table(people(len(who), len(who), seed).set_column(0, "who", [who]), path)
    return str(path)
