"""A choice of settings that hardly depends on anybody: differentially private votes of groups of people.

The table's people are in 32 groups by a keyed hash of their ids. In each group the settings are fitted on four fifths of its
people and scored on the others, and the group votes for the best; discrete Laplace noise is added to the counts, and the most
votes win. A person, with all of their rows, is in one group and can change its vote: one count goes down by one and another up,
or a vote comes or goes. So the counts move by at most 2 in the 1-norm, and noise of scale 2/ε makes them ε-differentially
private (the Laplace mechanism); what follows from the counts alone costs nothing more.

The penalty says how large weights may be, which does not depend on how many rows there are. So a penalty on the sum of losses
is the same in a group, and one on their mean, which grows with the rows, is taken 32 times.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expunge.data.hold_out import HoldOut
from expunge.data.own_columns import BUCKETS, ROW, SUBJECT, bucket_of
from expunge.engine.local import LocalEngine
from expunge.errors import ExpungeError
from expunge.unlearning.fitting import fitted
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage

GROUPS = 32
"""Fixed beforehand, whatever the table's size: the number of groups must not depend on who is there."""
MOST_MOVED = 2
"""How far one person can move the counts, in the 1-norm."""


def noisy_votes(storage: Storage, settings: Sequence[Specification], epsilon: float, without: Collection[str]) -> list[int]:
    """The votes for each of ``settings``, with noise; all that may be known of them.

    Args:
        settings: what is voted on: models of one target.
        epsilon: ε of the choice, in nats, for each person.
        without: people who are left out, because they asked to be forgotten.

    Raises:
        ValueError: ``epsilon`` is not a positive number.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"the epsilon of a choice must be a positive number, got {epsilon}")
    counts = [0] * len(settings)
    for rows in _groups(storage, settings, without):
        found = vote(rows, settings)
        if found is not None:
            counts[found] += 1
    return _laplace(len(settings), epsilon)(counts)


def vote(rows: pa.Table, settings: Sequence[Specification]) -> int | None:
    """What a group of people votes for: the position of the setting with the least loss on those of them who are held out.

    Args:
        rows: of the group, with a target.
        settings: what is voted on.
    """
    held = HoldOut(is_held_out=True).kept(rows)
    losses = [_loss(rows.filter(pc.invert(held)), rows.filter(held), each) for each in settings]
    return int(np.argmin(losses)) if math.isfinite(min(losses)) else None


def _loss(learned: pa.Table, held: pa.Table, specification: Specification) -> float:
    """Mean loss on ``held``; infinite where there is nobody, or no such model."""
    if not len(learned) or not len(held):
        return math.inf
    objective = specification.objective
    if objective.form == "mean":
        objective = replace(objective, penalty=objective.penalty * GROUPS)
    try:
        settings = replace(specification.settings, order=2)
        point = fitted(objective, specification.rows(learned), LocalEngine(), settings).point
        rows = specification.own_rows(held)
    except ExpungeError:
        return math.inf
    found = float(np.average(specification.estimator.judge(rows).losses(point), weights=rows.weight))
    return found if math.isfinite(found) else math.inf


def _groups(storage: Storage, settings: Sequence[Specification], without: Collection[str]) -> Iterator[pa.Table]:
    """The rows with a target of each group of people that has any."""
    target, columns = settings[0].target, dict.fromkeys(name for each in settings for name in each.table_columns.columns)

    def buckets() -> Iterator[pa.Table]:
        for read in storage.table.by_bucket(without):
            _people, rows = read([ROW, *columns])
            if len(rows):
                yield rows

    def group_of(rows: pa.Table) -> int:
        return bucket_of(rows[SUBJECT][0].as_py()) * GROUPS // BUCKETS

    for _group, tables in groupby(buckets(), group_of):
        rows = pa.concat_tables(tables)
        yield rows.filter(pc.is_valid(rows[target]))


def _laplace(count: int, epsilon: float) -> Callable[[list[int]], list[int]]:
    """Adds discrete Laplace noise that makes ``count`` votes ε-differentially private, to the last bit."""
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_laplace
    from opendp.metrics import l1_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    domain, scale = vector_domain(atom_domain(T=int), size=count), MOST_MOVED / epsilon
    while True:
        measurement = make_laplace(domain, l1_distance(T=int), scale=scale)
        if measurement.map(MOST_MOVED) <= epsilon:
            return lambda counts: list(measurement(counts))
        scale = math.nextafter(scale, math.inf)
