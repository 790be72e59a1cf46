"""The queue: requests that wait, refits that are due, and a look at the models from time to time; all worked at once."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from expunge.errors import ExpungeError, WorkUnfinished
from expunge.ledger import log, releases, requests, times
from expunge.ledger.facts import fact, set_fact
from expunge.ledger.restores import Restored
from expunge.privacy.budget import today
from expunge.workspace import arrivals, batch, comparison
from expunge.workspace.batch import Outcome
from expunge.workspace.forgetting import purge_tombstones
from expunge.workspace.place import PATIENCE, Place
from expunge.workspace.plans import Plan
from expunge.workspace.specification import Specification
from expunge.workspace.states import MODEL_FAULTS, Say, Work, silent

COMPARED = "models_compared"
"""The fact that holds the day on which all models were last found to hold the rows of the table."""


@dataclass(frozen=True)
class Processed:
    """What ``process`` did.

    Args:
        outcomes: the new releases.
        closed: how many requests were closed.
        problems: by request that waits because a model cannot answer it, the reason.
        aside: by model that is set aside, the reason.
        purged: of how many requests the tombstones went, because their term is over.
    """

    outcomes: list[Outcome]
    closed: int
    problems: dict[str, str]
    aside: dict[str, str]
    purged: int = 0


def process(place: Place, say: Say = silent, patience: float = PATIENCE, *, is_due: bool = False) -> Processed:
    """Works the whole queue in one batch, with one release per model; then refits the models whose refit is due.

    A request that a model cannot answer (its last row of a class, say) waits with the reason; a model that can answer none
    (its budget is spent, or it does not hold the rows of the table) is set aside. The others go on: a person is erased from
    the table, and the request closed, when every living model has forgotten them.

    Args:
        say: told before a batch is refitted.
        patience: seconds to wait for another process.
        is_due: leave out what has failed and is not yet to be tried again.
    """
    outcomes: list[Outcome] = []
    closed, batches = 0, 0
    with batch.in_charge(place, patience):
        _look(place)
        now = times.exact() if is_due else None
        unfit = _compare_due(place, now)
        was_aside = _aside(place)
        try:
            for _ in range(2):  # again for models that could forget nobody, and were refitted now
                if work := _waiting(place, now, unfit):
                    done = batch.run(place, work, say)
                    outcomes, closed, batches = [*outcomes, *done.outcomes], closed + len(done.closed), batches + 1
                for outcome in _refit_due(place, now, unfit, say):
                    outcomes, batches = [*outcomes, outcome], batches + 1
                if not was_aside.keys() - _aside(place).keys():
                    break
            purged = purge_tombstones(place)
            with place.database.reading() as connection:
                problems = {row.id: row.problem for row in requests.waiting(connection) if row.problem}
        except (ExpungeError, OSError) as error:
            if not batches:
                raise
            raise WorkUnfinished(
                f"{closed:,} requests are closed, with {len(outcomes)} releases, but not all could be worked: {error}"
            ) from error
    return Processed(outcomes, closed, problems, _aside(place), purged)


def planned(place: Place) -> Plan:
    """What ``process`` is about to do, if nothing comes in between."""
    work, due = _waiting(place, None, ()), _due(place, None, ())
    asked = {} if work is None else work.requests
    told = {
        "requests": list(asked),
        "models": [] if work is None else list(work.models or ()),
        "refits": due,
        "compares_models": _is_comparison_due(place, None),
    }
    return Plan(work, told)


def _look(place: Place) -> None:
    """Notes once a day that somebody looks at the queue, so that a clock that leaps ahead can be told from idle days; and drops
    digests by which rows were recognised for long enough."""
    with place.database.reading() as connection:
        seen = fact(connection, log.SEEN) or ""
    if seen[:10] < times.published()[:10]:
        with place.database.writing() as connection:
            log.require_clock(connection)
            set_fact(connection, log.SEEN, times.published())
            old = times.now() - timedelta(days=place.configuration.recognised_days)
            arrivals.forget_contents(connection, old.isoformat())


def _compare_due(place: Place, now: str | None) -> Collection[str]:
    """Compares the models with the table if their day has come, and sets aside those that do not hold its rows; their names."""
    if not _is_comparison_due(place, now):
        return ()
    unfit = comparison.unfit(place)
    for name, reason in unfit.items():
        batch.set_aside(place, name, reason)
    if not unfit:
        with place.database.writing() as connection:
            set_fact(connection, COMPARED, today().isoformat())
    return unfit.keys()


def _is_comparison_due(place: Place, now: str | None) -> bool:
    days = place.configuration.compare_days
    with place.database.reading() as connection:
        living, last = releases.all_models(connection), fact(connection, COMPARED)
    if not days or not living or not all(_is_time(row, now) for row in living):
        return False
    return today() >= date.fromisoformat(last or min(row.created for row in living)[:10]) + timedelta(days=days)


def _aside(place: Place) -> dict[str, str]:
    with place.database.reading() as connection:
        return {row.name: row.aside for row in releases.all_models(connection) if row.aside is not None}


def _waiting(place: Place, now: str | None, unfit: Collection[str]) -> Work | None:
    """What can be done: requests, and the models that have not answered them; what failed only if it is time, ``now``."""
    with place.database.reading() as connection:
        living = releases.all_models(connection)
        by, waiting = requests.forgetting(connection), requests.waiting(connection)
    able = {row.name for row in living if row.name not in unfit and (row.aside is None or _is_time(row, now))}
    asked, wanted = dict[str, str](), set[str]()
    for row in waiting:
        answered = by.get(row.id, {}).keys()
        if _is_time(row, now) and (able - answered or not {model.name for model in living} - answered):
            asked[row.id] = row.subject
            wanted |= able - answered
    return Work("forget", asked, models=sorted(wanted)) if asked else None


def _refit_due(place: Place, now: str | None, unfit: Collection[str], say: Say) -> Iterator[Outcome]:
    """Refits the models whose scheduled refit is due."""
    for name in _due(place, now, unfit):
        say(f"{name}: its refit is due")
        try:
            yield from batch.run(place, Work("refit", models=(name,)), say).outcomes
        except MODEL_FAULTS as error:
            batch.set_aside(place, name, str(error))


def _due(place: Place, now: str | None, unfit: Collection[str]) -> list[str]:
    """The models whose scheduled refit is due; those that were set aside only if it is time, ``now``."""
    with place.database.reading() as connection:
        owed = [row for row in releases.all_models(connection) if row.owed_since is not None and row.name not in unfit]
        owed, restored = [row for row in owed if _is_time(row, now)], Restored.last(connection)
        return [row.name for row in owed if _is_due(row, releases.current(connection, row.name), restored)]


def _is_time(row: Any, now: str | None) -> bool:
    """Whether a request or a model that may have failed is to be tried; by hand (``now`` is ``None``) it always is."""
    return now is None or row.again is None or row.again <= now


def _is_due(model: Any, last: Any, restored: Restored | None) -> bool:
    """Whether the scheduled refit of a model is due, by its last release."""
    evidence, specification = json.loads(last.evidence), Specification.from_json(model.specification)
    schedule, since, requests = specification.settings.schedule, date.fromisoformat(evidence["since"]), evidence["requests"]
    if restored is not None and not restored.is_before(last):
        since, requests = restored.since(since, schedule.days), 1
    return schedule.is_due(since, requests, today())
