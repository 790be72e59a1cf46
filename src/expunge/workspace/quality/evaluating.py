"""Evaluations: a model's scores, on people held out of the table or on a file of people whom it has never seen."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from expunge.data.columns import label
from expunge.data.dialect import Reading
from expunge.data.reading import read_batches
from expunge.data.row_numbers import rows_of
from expunge.data.sources import joined_rows
from expunge.errors import InvalidRows
from expunge.ledger.properties import read_property
from expunge.problem.rows import Rows
from expunge.unlearning.scores import NOT_COVERED, Scores, null_weights, scores
from expunge.unlearning.unlearner import secret_of
from expunge.workspace import row_keys, states
from expunge.workspace.arrivals import READING
from expunge.workspace.people import Id, People
from expunge.workspace.published import Published
from expunge.workspace.quality.held_out import bare_rows, held_out_share, trial
from expunge.workspace.storage import Storage


@dataclass(frozen=True)
class Evaluated:
    """The scores of a model. Evidence: not for publication.

    Args:
        model: name of the model.
        scores: what was measured.
        how: on whom, and by which fit, in a sentence.
        notes: what else whoever reads them should know.
    """

    model: str
    scores: Scores
    how: str
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {"model": self.model, **asdict(self.scores), "explained": self.scores.explained, "how": self.how}

    def __str__(self) -> str:
        return "\n".join([self.how, str(self.scores), *self.notes, NOT_COVERED])


def held_out_sentence() -> str:
    """How scores of people held out come about."""
    return (
        f"scores on {held_out_share()} of the people, held out by a keyed hash of their ids, of a second fit on all others; "
        "the model itself has learned everybody"
    )


def evaluated(storage: Storage, name: str) -> Evaluated:
    """The scores of model ``name`` on people held out of the table, by a second fit.

    Raises:
        WorkspaceInvalid: there is no such model.
        InvalidRows, NoOptimum, CapacityExceeded: too few people, or those who are not held out cannot be fitted.
    """
    return Evaluated(name, trial(storage, name).scores, held_out_sentence())


def evaluated_on(storage: Storage, name: str, data: str, query: str | None, reading: Reading) -> Evaluated:
    """The scores of the newest release of ``name`` on the rows of a file; rows of people in the table are left out.

    Args:
        data: a file, a folder of Parquet files, or with ``query`` the URL of a database.
        query: SQL whose result is the rows.
        reading: what is known about the file, besides what was known when the workspace was made.

    Raises:
        WorkspaceInvalid: there is no such model.
        InvalidRows: no column of targets, no rows of people whom the model has not learned, or rows that do not fit.
    """
    with storage.database.reading() as connection:
        published = Published.of(connection, name)
        known = Reading.from_json(str(read_property(connection, READING)))
    specification = published.specification
    subject, *_aliases = ids = row_keys.id_names(storage)
    columns = pa.schema([each for each in storage.table.columns if each.name in specification.table_columns.columns])
    own = replace(specification.table_columns, expansion=None)
    _found, batches = read_batches(os.fspath(data), query, texts=ids, reading=reading.over(known), columns=columns)
    kept, owners, learned, is_known = list[Rows](), list[str](), 0, False
    for batch in batches:
        table, numbers = pa.Table.from_batches([batch]), list(rows_of(batch))
        for column in specification.table_columns.target_columns:
            if column not in table.column_names:
                what = "which the model predicts" if column == specification.target else "which its target needs"
                raise InvalidRows(f"the rows have no column {column!r}, {what}: give it to score it")
        has_target = np.asarray(table[specification.target].is_valid())
        people = [""] * len(table)
        if subject in table.column_names:
            is_known, people = True, [label(value) or "" for value in table[subject].to_pylist()]
            there = _in_table(storage, people)
            new = np.array([who not in there for who in people], dtype=bool)
            learned, has_target = learned + int((has_target & ~new).sum()), has_target & new
        chosen = np.flatnonzero(has_target)
        if len(chosen):
            kept.append(own.rows(table.take(pa.array(chosen)), [numbers[i] for i in chosen]))
            owners += [people[i] for i in chosen]
    if not kept:
        gone = f", beside {learned:,} of people in the table, whom the model has learned" if learned else ""
        raise InvalidRows(f"there are no rows with a {specification.target} to score{gone}: give rows of other people")
    return _scored(storage, published, kept, owners if is_known else None, learned)


def _scored(
    storage: Storage, published: Published, kept: Sequence[Rows], owners: Sequence[str] | None, learned: int
) -> Evaluated:
    specification = published.specification
    unlearner = states.state_of(storage, published.model)
    bare = bare_rows(storage, specification, (), everybody=True)
    null = null_weights(specification.objective, bare, specification.settings, specification.expansion)
    rows, secret = joined_rows(kept), secret_of(unlearner)
    codes = None if owners is None else np.unique(owners, return_inverse=True)[1]
    found = scores(specification.estimator.judge(rows), [np.array(published.weights)], secret.point, null, codes)
    notes = []
    if learned:
        notes.append(f"{learned:,} rows of people in the table were left out: the model has learned them")
    if owners is None:
        notes.append("the rows have no column of subjects, so nobody can tell whether the model has learned some of them")
    how = f"scores of release {published.release} on the rows given"
    return Evaluated(published.model, found, how, tuple(notes))


def _in_table(storage: Storage, people: Sequence[str]) -> set[str]:
    """Those of ``people`` who have rows in the table."""
    each = [who for who in dict.fromkeys(people) if who]
    found = People(storage).find([Id(who) for who in each])
    return {who for who, person in zip(each, found, strict=True) if person.people}
