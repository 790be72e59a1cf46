"""The queue: waiting requests, restrictions that are lifted, due refits, and a regular comparison of the models with the table,
all worked together."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import sqlalchemy as sa

from expunge.errors import ExpungeError, WorkUnfinished
from expunge.ledger import batches, log, register, releases, requests, restrictions, times
from expunge.ledger.batches import BatchKind
from expunge.ledger.properties import read_property, set_property
from expunge.ledger.register import Filter, Matter
from expunge.ledger.releases import Model
from expunge.ledger.requests import Request
from expunge.ledger.restores import Restored
from expunge.privacy.budget import today
from expunge.workspace import arrivals, batch, comparison, edits
from expunge.workspace.batch import Outcome
from expunge.workspace.expectations import Working
from expunge.workspace.forgetting import is_due as is_term_over
from expunge.workspace.forgetting import purge_tombstones
from expunge.workspace.plans import Plan
from expunge.workspace.schedules import NextRefit
from expunge.workspace.states import MODEL_FAULTS, ROW_FAULTS, Notify, Work, looks, silent
from expunge.workspace.storage import PATIENCE, Storage

UNAPPROVED = Filter(matter=Matter.APPROVAL)
"""The requests that wait for a second person's approval."""
COMPARED = "models_compared"
"""The property that holds the day on which all models were last found to hold the rows of the table."""


@dataclass(frozen=True)
class Processed:
    """What ``process`` did.

    Args:
        outcomes: the new releases.
        requests: ids of the requests that were closed.
        problems: for each request that waits because a model cannot answer it, the reason.
        aside: for each model that is set aside, the reason.
        purged: number of requests whose tombstones were deleted because their term is over.
        held: for each request whose hold is not over, when that ends.
        unapproved: number of requests that wait for a second person's approval.
        unreadable: those of the models set aside whose state files cannot be read.
        lifted: ids of restrictions that were lifted: every model has learned the rows again.
    """

    outcomes: list[Outcome]
    requests: tuple[str, ...]
    problems: dict[str, str]
    aside: dict[str, str]
    purged: int = 0
    held: Mapping[str, str] = field(default_factory=dict)
    unapproved: int = 0
    unreadable: tuple[str, ...] = ()
    lifted: tuple[str, ...] = ()

    @property
    def closed(self) -> int:
        """Number of requests that were closed."""
        return len(self.requests)


def process(
    storage: Storage,
    notify: Notify = silent,
    patience: float = PATIENCE,
    *,
    is_due: bool = False,
    heeds_hold: bool = False,
) -> Processed:
    """Works the whole queue in one batch, with one release per model; then refits the models whose refit is due, one by one,
    and works whatever has come in meanwhile before the next one.

    A request that a model cannot answer (for its last row of a class, say) waits with the reason. A model that can answer none
    (its budget is spent, or it does not hold the rows of the table) is set aside. The others go on: a person is erased from
    the table, and the request closed, when every living model has forgotten them.

    Args:
        notify: told before a batch is refitted.
        patience: seconds to wait for another process.
        is_due: leave out what has failed and is not to be tried again yet.
        heeds_hold: leave out requests whose hold is not over.
    """
    outcomes: list[Outcome] = []
    closed, lifted, n_batches = list[str](), list[str](), 0
    with batch.in_charge(storage, patience, lambda: is_due and _is_idle(storage, heeds_hold)):
        _look(storage)
        now = times.exact() if is_due else None
        unfit = _compare_due(storage, now)
        was_aside = _aside(storage)
        try:
            tried, last = set[str](), None
            while True:
                work = _waiting(storage, now, unfit, heeds_hold)
                if work is not None and (found := (*work.requests, *(work.models or ()))) != last:
                    done, last = batch.run(storage, work, notify), found
                    outcomes, closed, n_batches = [*outcomes, *done.outcomes], [*closed, *done.closed], n_batches + 1
                learned, made = _lift(storage, now, notify)
                lifted, outcomes, n_batches = [*lifted, *learned], [*outcomes, *made], n_batches + bool(learned)
                due = [name for name in _due(storage, now, unfit) if name not in tried]
                if due:  # one by one: requests that come in meanwhile are worked before the next
                    tried.add(due[0])
                    made = _refit(storage, due[0], notify)
                    outcomes, n_batches = [*outcomes, *made], n_batches + len(made)
                freed = was_aside.keys() - _aside(storage).keys()
                if freed:  # again for a model that could forget nobody and has now been refitted
                    was_aside, last = _aside(storage), None
                elif not due:
                    break
            purged = purge_tombstones(storage)
            with storage.database.reading() as connection:
                at = times.exact()
                waiting, held = requests.waiting(connection, at), requests.held(connection, at)
                unapproved = register.total(connection, UNAPPROVED)
                waiting += restrictions.lifting(connection)
            problems = {row.id: row.problem for row in waiting if row.problem}
        except (ExpungeError, OSError) as error:
            if not n_batches:
                raise
            raise WorkUnfinished(
                f"{len(closed):,} requests are closed, with {len(outcomes)} releases, but not all could be worked: {error}"
            ) from error
    with storage.database.reading() as connection:
        unreadable = tuple(row.name for row in releases.all_models(connection) if row.unreadable is not None)
    return Processed(outcomes, tuple(closed), problems, _aside(storage), purged, held, unapproved, unreadable, tuple(lifted))


def _is_idle(storage: Storage, heeds_hold: bool) -> bool:
    """Whether a round would find nothing to do and change nothing: no batch to finish, nobody to forget, nothing due."""
    now = times.exact()
    with storage.database.reading() as connection:
        is_begun = bool(batches.unfinished(connection)) or is_term_over(connection, storage)
        is_seen = _is_seen(connection)
    if is_begun or not is_seen or not edits.is_taken(storage) or storage.subject_key.renewed() != storage.subject_key:
        return False
    return (
        _waiting(storage, now, (), heeds_hold) is None
        and not _lifted(storage, now)
        and not _due(storage, now, ())
        and not _is_comparison_due(storage, now)
    )


def planned(storage: Storage, *, heeds_hold: bool = False) -> Plan[Working]:
    """What ``process`` is about to do, if nothing comes in between.

    Args:
        heeds_hold: as for ``process``.
    """
    work, due = _waiting(storage, None, (), heeds_hold), _due(storage, None, ())
    asked = {} if work is None else work.requests
    models = () if work is None else tuple(work.models or ())
    lifted = tuple(row.id for row in _lifted(storage, None))
    return Plan(work, Working(tuple(asked), models, tuple(due), _is_comparison_due(storage, None), lifted))


def _look(storage: Storage) -> None:
    """Notes once a day that the queue was looked at, so that a clock that leaps ahead can be told from idle days; and drops
    digests of rows that have been recognised for long enough."""
    with storage.database.reading() as connection:
        is_seen = _is_seen(connection)
    if not is_seen:
        with storage.database.writing() as connection:
            log.require_clock(connection)
            set_property(connection, log.SEEN, times.published())
            old = times.now() - timedelta(days=storage.configuration.recognised_days)
            arrivals.forget_contents(connection, old.isoformat())


def _is_seen(connection: sa.Connection) -> bool:
    return (read_property(connection, log.SEEN) or "")[:10] >= times.published()[:10]


def _compare_due(storage: Storage, now: str | None) -> Collection[str]:
    """Compares the models with the table if it is time, and sets aside those that do not hold its rows; returns their names."""
    if not _is_comparison_due(storage, now):
        return ()
    unfit = comparison.unfit(storage)
    for name, reason in unfit.items():
        batch.set_aside(storage, name, reason)
    if not unfit:
        with storage.database.writing() as connection:
            set_property(connection, COMPARED, today().isoformat())
    return unfit.keys()


def _is_comparison_due(storage: Storage, now: str | None) -> bool:
    days = storage.configuration.compare_days
    with storage.database.reading() as connection:
        living, last = releases.all_models(connection), read_property(connection, COMPARED)
    if not days or not living or not all(_is_time(row, now) for row in living):
        return False
    return today() >= date.fromisoformat(last or min(row.created for row in living)[:10]) + timedelta(days=days)


def _aside(storage: Storage) -> dict[str, str]:
    with storage.database.reading() as connection:
        return {row.name: row.aside for row in releases.all_models(connection) if row.aside is not None}


def _waiting(storage: Storage, now: str | None, unfit: Collection[str], heeds_hold: bool) -> Work | None:
    """The work that can be done: requests, and the models that have not answered them; what failed, only if due at ``now``."""
    at = times.exact()
    with storage.database.reading() as connection:
        living = releases.all_models(connection)
        repaired = {row.name for row in living if _is_repaired(storage, connection, row)}
        by, waiting = requests.forgetting(connection), requests.waiting(connection, at if heeds_hold else None)
    due = {row.name for row in living if row.aside is None or _is_time(row, now)}
    able = (due | repaired) - set(unfit)
    asked, wanted = dict[str, str](), set[str]()
    for row in waiting:
        answered = by.get(row.id, {}).keys()
        if _is_time(row, now) and (able - answered or not {model.name for model in living} - answered):
            asked[row.id] = row.person
            wanted |= able - answered
    return Work(BatchKind.FORGET, asked, models=sorted(wanted)) if asked else None


def _lifted(storage: Storage, now: str | None) -> list[Request]:
    """The restrictions that were lifted and that the models are to follow; what failed, only if due at ``now``."""
    with storage.database.reading() as connection:
        return [row for row in restrictions.lifting(connection) if _is_time(row, now)]


def _lift(storage: Storage, now: str | None, notify: Notify) -> tuple[list[str], list[Outcome]]:
    """Lets every model learn again the rows of people whose restriction is lifted: all together or, if that fails, one person
    after the other. Returns the requests that are over, and the new releases."""
    waiting, aside = _lifted(storage, now), _aside(storage)
    if waiting and aside:
        name = min(aside)
        for row in waiting:
            batch.blame(storage, row.id, f"model {name} is set aside, and would not learn the rows again: {aside[name]}")
        return [], []
    together = [waiting] if len(waiting) < 2 else [waiting, *([row] for row in waiting)]
    done, outcomes = list[str](), list[Outcome]()
    for rows in together if waiting else ():
        if set(done) & {row.id for row in rows}:
            break
        try:
            outcomes += batch.run(storage, Work(BatchKind.LIFT, lifted={row.id: row.person for row in rows}), notify).outcomes
            done += [row.id for row in rows]
        except (*MODEL_FAULTS, *ROW_FAULTS) as error:
            if len(rows) == 1:
                batch.blame(storage, rows[0].id, str(error))
    return done, outcomes


def _is_repaired(storage: Storage, connection: sa.Connection, row: Model) -> bool:
    """Whether the state file of a model that could not be read is another one now."""
    if row.unreadable is None:
        return False
    return row.unreadable != looks(storage, row.name, releases.current(connection, row.name).number)


def _refit(storage: Storage, name: str, notify: Notify) -> list[Outcome]:
    """Refits a model whose scheduled refit is due, or sets it aside."""
    notify(f"{name}: its scheduled refit is due, and is being made")
    try:
        return list(batch.run(storage, Work(BatchKind.REFIT, models=(name,)), notify).outcomes)
    except MODEL_FAULTS as error:
        batch.set_aside(storage, name, error)
        return []


def _due(storage: Storage, now: str | None, unfit: Collection[str]) -> list[str]:
    """The models whose scheduled refit is due; those set aside, only if they are to be tried again at ``now``."""
    with storage.database.reading() as connection:
        owed = [row for row in releases.all_models(connection) if row.owed_since is not None and row.name not in unfit]
        owed, restored = [row for row in owed if _is_time(row, now)], Restored.last(connection)
        found = {row.name: NextRefit.of(row, releases.current(connection, row.name), restored, today()) for row in owed}
        return [name for name, refit in found.items() if refit is not None and refit.cause is not None]


def _is_time(row: Request | Model, now: str | None) -> bool:
    """Whether to try a request or a model that may have failed; always when asked for by hand (``now`` is ``None``)."""
    return now is None or row.again is None or row.again <= now
