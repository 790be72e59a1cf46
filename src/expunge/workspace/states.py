"""States: what each model becomes in a batch, and which of the requests it can answer.

A model that fails for one person's rows (the last of a class: only people decide whether it is learned without them) forgets
the others. One that can forget nobody (its budget is spent) does not stop the other models. A person's rows stay in the table
until every living model has forgotten them; models that have forgotten them are not shown them. Where processing is restricted
they stay for longer: until the restriction is lifted, when every model learns them again.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from expunge.data.files import Change, listing_digest
from expunge.data.own_columns import ROW, SUBJECT
from expunge.data.sources import TableSource
from expunge.data.widening import Wider
from expunge.errors import (
    AnchorMismatch,
    BudgetSpent,
    CapacityExceeded,
    ExpungeError,
    InvalidRows,
    LastRows,
    ModelCopied,
    NoiseTooLarge,
    NoOptimum,
    NotLearned,
    StateCorrupt,
    WorkspaceInvalid,
)
from expunge.evidence.statements import digest
from expunge.ledger import data_files, releases
from expunge.ledger.batches import BatchKind
from expunge.ledger.requests import Request
from expunge.ledger.restores import Restored
from expunge.problem.expansion import Made
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.cost import SAMPLE
from expunge.unlearning.release import Release
from expunge.unlearning.rung import Rung
from expunge.unlearning.storage import load_unlearner, save_unlearner
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage
from expunge.workspace.withheld import Forgetting

Notify = Callable[[str], None]
FORECAST_ROWS = 5_000
"""Rows from which a capacity is forecast."""
MODEL_FAULTS = (CapacityExceeded, BudgetSpent, NoiseTooLarge, StateCorrupt, ModelCopied, AnchorMismatch)
"""Errors that keep a model from forgetting anybody, whoever asks."""
ROW_FAULTS = (InvalidRows, NotLearned, NoOptimum)
"""Errors about somebody's rows: without theirs, the others can be forgotten. Any other error stops the batch."""


@dataclass(frozen=True)
class Work:
    """What a batch is to do.

    Args:
        kind: kind of the batch.
        requests: by id of a request, the pseudonym of the person to forget.
        lifted: by id of a restriction that is lifted, the pseudonym of the person to learn again.
        made: the request of a correction, which begins and ends with the batch.
        gone: pseudonyms of the people whose rows are replaced.
        added: numbered rows that are added, or ``None``; for people who are ``gone``, also rows that stay, with their numbers.
        returning: tombstones of people who were forgotten and come back with ``added``.
        models: names of the models concerned; ``None`` for all.
        fitted: the name of a model that is new or replaced, and its specification.
        wider: a column that is to be widened, and its new type.
        content: keyed digest of the added rows, by which they are recognised if they come again.
    """

    kind: BatchKind
    requests: Mapping[str, str] = field(default_factory=dict, repr=False)
    lifted: Mapping[str, str] = field(default_factory=dict, repr=False)
    gone: Sequence[str] = field(default=(), repr=False)
    made: Sequence[Request] = ()
    added: pa.Table | None = None
    returning: Sequence[str] = ()
    models: Sequence[str] | None = None
    fitted: tuple[str, Specification] | None = None
    wider: tuple[str, Wider] | None = None
    content: str | None = field(default=None, repr=False)


def silent(_message: str) -> None:
    """Says nothing."""


class Task(NamedTuple):
    """A model of a batch, the number of its next release, and its specification."""

    model: str
    number: int
    specification: Specification


@dataclass(frozen=True)
class Prepared:
    """A model's new release and state file, the requests that it answers, and the reasons for those that it cannot."""

    model: str
    number: int
    release: Release
    state_digest: str
    influences: dict[str, float]
    forgot: tuple[str, ...]
    blamed: dict[str, str]


def state_of(storage: Storage, model: str) -> Unlearner:
    """The present secret state of ``model``, even while another process makes a newer one.

    Raises:
        WorkspaceInvalid: no such model.
        StateCorrupt: its file is missing, damaged, or not the one that the ledger names.
    """
    while True:
        with storage.database.reading() as connection:
            releases.named(connection, model)  # says if there is none
            number = releases.current(connection, model).number
            try:
                return load(storage, connection, model)
            except StateCorrupt as error:
                problem = error
        with storage.database.reading() as connection:
            if releases.current(connection, model).number == number:
                raise problem


def looks(storage: Storage, model: str, number: int) -> str:
    """What distinguishes a state file from the one that was there when it could not be read."""
    try:
        found = storage.state_path(model, number).stat()
    except OSError:
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def sample_of(storage: Storage, model: str) -> Rows:
    """Some of the rows of ``model``, from which what it can forget is forecast."""
    with storage.database.reading() as connection:
        specification = Specification.from_json(releases.named(connection, model).specification)
        hidden = Forgetting.of(connection).forgotten(model)
    return specification.sample(storage.table, FORECAST_ROWS, hidden)


def rung_expected(storage: Storage, model: str, n_rows: int) -> Rung:
    """The rung that one request for ``n_rows`` random rows should take, an estimate: much quicker than a forecast."""
    return state_of(storage, model).rung_expected(n_rows, sample_of(storage, model))


def load(storage: Storage, connection: sa.Connection, model: str) -> Unlearner:
    """The secret state of ``model`` after its last release, for a caller who holds ``storage.exclusive()``.

    Raises:
        StateCorrupt: its file is missing, damaged, or not the one that the ledger names.
    """
    current = releases.current(connection, model)
    path = storage.state_path(model, current.number)
    try:
        found = digest(path.read_bytes())
    except OSError as error:
        what = "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
        raise StateCorrupt(
            f"the state of model {model!r}, {path}, is {what}: restore it from a backup, or run expunge replace {model}"
        ) from None
    if found != current.state_digest:
        raise StateCorrupt(
            f"{path} is not the file that the ledger names: restore it from a backup, or run expunge replace {model}"
        )
    if current.table_digest != listing_digest(data_files.present(connection)):
        raise WorkspaceInvalid(
            f"the rows that {path} holds are not those of the table: run expunge doctor, and restore a backup"
        )
    try:
        unlearner, restored = load_unlearner(path, storage.engine), Restored.last(connection)
    except StateCorrupt as error:  # it is the file that the ledger names, of another version
        raise StateCorrupt(f"{error}. To fit it again, run expunge replace {model}") from error
    if restored is not None and not restored.is_before(current):
        began = date.fromisoformat(unlearner.release.certificate.since)
        unlearner.resume_restored(restored.count, restored.since(began, unlearner.settings.schedule.days))
    return unlearner


def chosen_models(connection: sa.Connection, work: Work) -> list[Task]:
    """The models that the work concerns, each with the number of its new release; a new model has no old one."""
    fitted = {} if work.fitted is None else {work.fitted[0]: work.fitted[1]}
    living = {row.name: row for row in releases.all_models(connection)}
    if work.added is not None or work.lifted:
        for row in living.values():
            if row.aside is not None:
                raise WorkspaceInvalid(
                    f"model {row.name!r} is set aside ({row.aside}), and would not learn these rows: first run expunge replace "
                    f"{row.name} or expunge retire {row.name}. Nothing was changed"
                )
    chosen = [Task(name, 1, specification) for name, specification in fitted.items() if name not in living]
    for row in living.values():
        if work.kind != BatchKind.RETIRE and (work.models is None or row.name in work.models):
            specification = fitted.get(row.name) or Specification.from_json(row.specification)
            chosen.append(Task(row.name, releases.current(connection, row.name).number + 1, specification))
    return chosen


def prepared_states(
    storage: Storage, work: Work, chosen: Sequence[Task], before: Forgetting, change: Change, notify: Notify
) -> tuple[list[Prepared], dict[str, Exception]]:
    """New states beside the old ones, one after another; and the models that fail to forget, with the reason."""
    prepared, aside = list[Prepared](), dict[str, Exception]()
    for task in chosen:
        if work.fitted is not None and task.model == work.fitted[0]:  # people who asked to be forgotten are not learned
            source = task.specification.source(storage.table, before.people.values())
            unlearner = _fitted(storage, task.specification, source, task.model, notify)
            new = (request for request in before.people if task.model not in before.by.get(request, {}))
            prepared.append(_saved(storage, task, unlearner, {}, tuple(new)))
            continue
        try:
            prepared.append(_attempt(storage, work, task, before, change, notify))
        except MODEL_FAULTS as error:
            if work.kind != BatchKind.FORGET:
                raise
            aside[task.model] = error
    return prepared, aside


def _attempt(storage: Storage, work: Work, task: Task, before: Forgetting, change: Change, notify: Notify) -> Prepared:
    """The model's new state, without as many of the people as it can forget."""
    hidden, blamed = before.forgotten(task.model, work.lifted), dict[str, str]()
    learned = sorted(before.forgotten(task.model) - hidden)
    made: tuple[Unlearner, dict[str, float]] | None = None
    wanted = [request for request in work.requests if task.model not in before.by.get(request, {})]

    def tried(chosen: Sequence[str]) -> tuple[Unlearner, dict[str, float]]:
        gone = sorted({*(work.requests[request] for request in chosen), *work.gone} - hidden)
        added = storage.table.of_subjects(learned) if learned else _without(work.added, hidden)
        leaving, coming = _moving(storage.table.of_subjects(gone) if gone else None, added)
        removed = None if leaving is None else task.specification.rows(leaving)
        added = None if coming is None else task.specification.rows(coming)
        without = hidden.union(gone) if work.added is None else hidden
        source = storage.cached(task.specification.source(storage.table, without, change))
        with storage.database.reading() as connection:
            unlearner = load(storage, connection, task.model)
        moved = influences(unlearner, leaving, removed)
        _operate(unlearner, work.kind, removed, added, source, task.model, notify)
        return unlearner, moved

    def most(sure: list[str], more: list[str]) -> list[str]:
        """``sure`` and as many of ``more`` as can be forgotten with them; ``made`` is the result for the last who could."""
        nonlocal made
        try:
            made = tried([*sure, *more])
            return [*sure, *more]
        except ROW_FAULTS as error:
            if not more:
                raise _explained(task, error) from error
            if len(more) == 1:
                blamed[more[0]] = str(_explained(task, error))
                return sure
            half = len(more) // 2
            return most(most(sure, more[:half]), more[half:])

    forgot = most([], wanted)
    unlearner, moved = tried(forgot) if made is None else made
    return _saved(storage, task, unlearner, moved, tuple(forgot), blamed)


def _without(rows: pa.Table | None, hidden: Collection[str]) -> pa.Table | None:
    """Rows that are added, without those of people whom the model is not to know; ``None`` if there are none."""
    if rows is None or not hidden:
        return rows
    kept = rows.filter(pc.invert(pc.is_in(rows[SUBJECT], value_set=pa.array(sorted(hidden), rows[SUBJECT].type))))
    return kept if len(kept) else None


def _moving(leaving: pa.Table | None, added: pa.Table | None) -> tuple[pa.Table | None, pa.Table | None]:
    """Both tables, without the rows that they have in common."""
    if leaving is None or added is None:
        return leaving, added
    before, after = leaving[ROW].combine_chunks(), added[ROW].combine_chunks()
    return leaving.filter(pc.invert(pc.is_in(before, value_set=after))), added.filter(
        pc.invert(pc.is_in(after, value_set=before))
    )


def _explained(task: Task, error: ExpungeError) -> ExpungeError:
    """The error, with a way out if the rows are the last from which a model can be made."""
    if not isinstance(error, LastRows):
        return error
    name, target, classes = task.model, task.specification.target, task.specification.classes
    if error.class_code is None:
        return InvalidRows(f"no row with a {target} would be left: run expunge retire {name}")
    last = f"no row would be left whose {target} is {classes[error.class_code]}"
    if len(classes) == 2:
        return InvalidRows(f"{last}, and a classifier needs two classes: run expunge retire {name}")
    first = "take that class out of schema.toml and " if task.specification.declared_classes else ""
    return InvalidRows(f"{last}: {first}run expunge replace {name}, which learns the other classes, or expunge retire {name}")


def _fitted(storage: Storage, specification: Specification, source: TableSource, name: str, notify: Notify) -> Unlearner:
    objective, settings = specification.objective, specification.settings
    unlearner = Unlearner.learn_from(objective, storage.cached(source), settings, engine=storage.engine)
    if settings.is_noisy:
        cost = unlearner.noise_cost(source.sample(SAMPLE))
        cost.require_worth()
        asked = "" if settings.excess_risk is None else f" ({settings.excess_risk:.3g} was asked for)"
        notify(
            f"{name}: the noise costs {cost.cost:.3g} in mean loss{asked}. Before the link, predictions move by "
            f"{cost.median:.3g} for the median row and {cost.largest:.3g} for the worst-served one"
        )
    return unlearner


def _operate(
    unlearner: Unlearner,
    kind: BatchKind,
    removed: Rows | None,
    added: Rows | None,
    source: RowSource,
    name: str,
    notify: Notify,
) -> None:
    """Makes the new release even if the model learned none of the rows: the log must not show who had no target.

    The digests of the table's files prove that it holds what the model learned, so it is read only where it is needed. A refit
    compares it row by row.
    """

    def before_refit() -> None:
        notify(f"{name}: this takes a new fit on the remaining rows, which is being made")

    if kind == BatchKind.REFIT:
        unlearner.refit(source)
    elif removed and added:
        unlearner.rectify(removed, added, source, before_refit=before_refit, is_known=True)
    elif removed:
        unlearner.forget(removed, source, before_refit=before_refit, is_known=True)
    elif added:
        unlearner.learn(added, source, before_refit=before_refit, is_known=True)
    else:
        unlearner.again(source, before_refit=before_refit, is_known=True)


def influences(unlearner: Unlearner, leaving: pa.Table | None, removed: Rows | None) -> dict[str, float]:
    """For the pseudonym of each person ``leaving``, how far their rows move the weights, in units of noise; see ``Outcome``."""
    if leaving is None or not removed or removed.ids is None or not unlearner.settings.is_noisy:
        return {}
    owner = dict(zip(leaving["_row"].to_pylist(), leaving[SUBJECT].to_pylist(), strict=True))
    found: dict[str, float] = {}
    for name, moved in zip(removed.ids, unlearner.influence_in_noise(removed), strict=True):
        row = name.row if isinstance(name, Made) else name
        found[owner[row]] = found.get(owner[row], 0.0) + float(moved)
    return found


def _saved(
    storage: Storage,
    task: Task,
    unlearner: Unlearner,
    influences: dict[str, float],
    forgot: tuple[str, ...],
    blamed: Mapping[str, str] = MappingProxyType({}),
) -> Prepared:
    path = storage.state_path(task.model, task.number)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    save_unlearner(unlearner, path)
    state = digest(path.read_bytes())
    return Prepared(task.model, task.number, unlearner.release, state, influences, forgot, dict(blamed))
