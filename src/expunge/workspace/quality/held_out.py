"""Held-out scores: a second fit without a fifth of the people, only for measuring, and the scores of it on these people.

A model is fitted on everybody, so its score on people whom it has learned would flatter it. The second fit is an exact one, of
the same specification on the other people: one fit, without third derivatives and without tracking. It is never released and
never stored; noise is drawn for it as for a release. The model itself has a quarter more people, and so is slightly better.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from expunge.data.hold_out import SHARE, HoldOut
from expunge.data.own_columns import ROW, SUBJECT
from expunge.data.sources import joined_rows
from expunge.errors import InvalidRows
from expunge.ledger import releases, requests
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.scores import Scores, null_weights, scores
from expunge.unlearning.settings import Order
from expunge.unlearning.unlearner import Unlearner, secret_of
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage

Array = NDArray[np.float64]

LEAST = 10
"""Fewer held-out people say nothing about a model, and too much about themselves."""
MOST_ROWS, MOST_VALUES = 50_000, 1 << 25
"""Held-out rows, and numbers in them, that are looked at: whole buckets of people, which are drawn by a keyed hash."""
DRAWS = 10
"""Releases drawn for a score, each with its opposite: so the noise's first order cancels."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The rows of people whom a trial has not seen.

    Args:
        table: their rows as the table has them, those with a target.
        rows: the same, encoded, and not expanded.
        owners: a number for each row's person, ``(n_rows,)``.
    """

    table: pa.Table
    rows: Rows
    owners: NDArray[np.intp]

    @classmethod
    def of(cls, storage: Storage, specification: Specification, without: Collection[str]) -> "HeldOut":
        """The hold-out of a workspace's table.

        Args:
            without: people who are left out, because they asked to be forgotten.

        Raises:
            InvalidRows: fewer than ten people are held out.
        """
        chosen, kept = HoldOut(is_held_out=True), list[pa.Table]()
        most = min(MOST_ROWS, MOST_VALUES // max(1, len(specification.features.feature_names)))
        for read in storage.table.by_bucket(without):
            _people, rows = read([ROW, *specification.table_columns.columns])
            rows = rows.filter(chosen.kept(rows))
            kept.append(rows.filter(pc.is_valid(rows[specification.target])))
            if sum(map(len, kept)) >= most:
                break
        table = pa.concat_tables(kept) if kept else None
        people = 0 if table is None else pc.count_distinct(table[SUBJECT]).as_py()
        if table is None or people < LEAST:
            raise InvalidRows(
                f"only {people} people who have a {specification.target} can be held out, a fifth of all, and a score needs "
                f"{LEAST}: add people, or score a file of other people with expunge evaluate NAME FILE"
            )
        owners = table[SUBJECT].combine_chunks().dictionary_encode().indices.to_numpy()
        return cls(table, specification.own_rows(table), np.asarray(owners, dtype=np.intp))


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of a model by one schema, of the people held out and of all others; for any number of trials.

    Args:
        storage: of the workspace.
        held_out: the people whom a trial does not see.
        source: the rows of the others.
        bare: their rows without features, as ``bare_rows`` gives them.
    """

    storage: Storage
    held_out: HeldOut
    source: RowSource = field(repr=False)
    bare: Rows = field(repr=False)

    @classmethod
    def of(cls, storage: Storage, specification: Specification, without: Collection[str] = ()) -> "Split":
        """The split of a workspace's table.

        Args:
            without: people who are left out, because they asked to be forgotten.

        Raises:
            InvalidRows: fewer than ten people are held out.
        """
        held_out, bare = HeldOut.of(storage, specification, without), bare_rows(storage, specification, without)
        return cls(storage, held_out, storage.cached(specification.source(storage.table, without, holds_out=True)), bare)

    def trial(self, specification: Specification, *, order: Order = 2) -> "Trial":
        """The trial of a specification with this schema and target.

        Args:
            specification: what is fitted.
            order: of the statistics, which no score depends on. Default: 2.

        Raises:
            InvalidRows, NoOptimum, CapacityExceeded: as of a fit.
        """
        objective, settings = specification.objective, replace(specification.settings, track_rows=False, order=order)
        unlearner = Unlearner.learn_from(objective, self.source, settings, engine=self.storage.engine)
        null = null_weights(objective, self.bare, settings, specification.expansion)
        return Trial(specification, self.held_out, unlearner, null)


@dataclass(frozen=True, eq=False)
class Trial:
    """A model fitted without the people held out; everything in it is secret.

    Args:
        specification: of the model.
        held_out: the people whom it has not seen.
        unlearner: the fit, whose release is never published.
        null: weights of the best constant prediction for the others, ``(p,)``.
    """

    specification: Specification
    held_out: HeldOut
    unlearner: Unlearner = field(repr=False)
    null: Array = field(repr=False)

    @property
    def noiseless(self) -> Array:
        """Its weights without noise, ``(p,)``."""
        return secret_of(self.unlearner).point

    @cached_property
    def released(self) -> list[Array]:
        """Weights of releases, and their opposites."""
        if not self.unlearner.settings.is_noisy:
            return [self.noiseless]
        drawn = self.unlearner.draw(DRAWS)
        return [*drawn, *(2.0 * self.noiseless - drawn)]

    @cached_property
    def scores(self) -> Scores:
        """On the people held out."""
        held, judge = self.held_out, self.specification.estimator.judge(self.held_out.rows)
        return scores(judge, self.released, self.noiseless, self.null, held.owners)


def bare_rows(storage: Storage, specification: Specification, without: Collection[str], *, everybody: bool = False) -> Rows:
    """The rows of the people who are not held out without their features, before they are expanded.

    Args:
        without: people who are left out.
        everybody: whether those of the people held out come too.

    Raises:
        InvalidRows: none of them has a target.
    """
    found, columns, chosen = list[Rows](), specification.table_columns, HoldOut(is_held_out=False)
    for read in storage.table.by_bucket(without):
        _people, rows = read([ROW, *columns.target_columns])
        rows = rows if everybody else rows.filter(chosen.kept(rows))
        rows = rows.filter(pc.is_valid(rows[specification.target]))
        found.append(columns.bare(rows, rows[ROW].to_pylist()))
    return joined_rows(found)


def trial(storage: Storage, name: str) -> Trial:
    """The trial of a living model's specification.

    Args:
        name: of the model.

    Raises:
        WorkspaceInvalid: there is no such model.
        InvalidRows, NoOptimum, CapacityExceeded: fewer than ten people are held out, or the others cannot be fitted.
    """
    with storage.database.reading() as connection:
        specification = Specification.from_json(releases.named(connection, name).specification)
        asked = [request.person for request in requests.asked(connection)]
    return storage.table.settled(lambda: Split.of(storage, specification, asked).trial(specification))


def held_out_share() -> str:
    """The share of people held out, for a sentence."""
    return f"{SHARE:.0%}"
