"""Batches: how table, models and ledger change together, whatever happens in between.

    intent in the ledger → new files of the table and new states, beside the old ones → one transaction (releases,
    certificates, events, the table's files) → the anchor → the table's own log → deleting what is superseded → close

Before the transaction nothing has happened: ``recover`` gives the batch up, and noise that was drawn for it is never
used. After it everything has: ``recover`` carries it on. Each step can be done twice. Whatever is deleted was written by a
batch that the ledger knows, under a name that it knows.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from expunge.cost import SAMPLE, NoiseCost
from expunge.data.files import NOTHING, Change, listing_digest
from expunge.data.sources import TableSource
from expunge.data.table import SUBJECT
from expunge.errors import ExpungeError, StateCorrupt, WorkspaceInvalid, WorkUnfinished
from expunge.files import PARTIAL, delete_file, write_file
from expunge.ledger import data_files, hooks, log, releases, requests, times
from expunge.ledger.facts import fact, retired_keyids, set_fact
from expunge.ledger.restores import Restored
from expunge.ledger.signing import CERTIFICATE, digest, key_path
from expunge.release import Release
from expunge.rows import Rows, RowSource
from expunge.storage import load_unlearner, save_unlearner
from expunge.unlearner import Unlearner
from expunge.workspace import anchoring
from expunge.workspace.place import PATIENCE, Place
from expunge.workspace.specification import Specification

Kind = Literal["fit", "forget", "append", "rectify", "refit"]
Say = Callable[[str], None]


COMING_KEY = "coming_key"
"""The fact that names a signing key which is being made; one that was never taken into use is deleted."""


@dataclass(frozen=True)
class Work:
    """What a batch is to do.

    Args:
        kind: of the batch.
        requests: ids of the requests it answers; ``gone``: pseudonyms of the people whose rows go.
        made: rows of requests that begin and end with the batch.
        added: numbered rows that come, or ``None``.
        returning: tombstones of people who were forgotten and come back with ``added``.
        models: names of the models it concerns; ``None`` for all.
        fitted: the specification of a new model, by its name.
    """

    kind: Kind
    requests: Sequence[str] = ()
    gone: Sequence[str] = ()
    made: Sequence[Mapping[str, Any]] = ()
    added: pa.Table | None = None
    returning: Sequence[str] = ()
    models: Sequence[str] | None = None
    fitted: tuple[str, Specification] | None = None


@dataclass(frozen=True)
class Outcome:
    """One model's new release.

    Args:
        model, number: of the release; ``id``: among all releases.
        release: weights and certificate.
        influences: by pseudonym of those forgotten, how far each moves the weights, in units of σ (an upper bound, to first
            order); empty where σ is 0.
    """

    model: str
    number: int
    id: int
    release: Release
    influences: dict[str, float]


class _Task(NamedTuple):
    model: str
    number: int
    specification: Specification


@dataclass(frozen=True)
class _Prepared:
    model: str
    number: int
    release: Release
    state_digest: str
    influences: dict[str, float]


def run(place: Place, work: Work, say: Say) -> list[Outcome]:
    """Does the work; whatever raises leaves everything as it was. The caller holds ``place.exclusive()`` and has recovered.

    Raises:
        ExpungeError: the rows do not fit a model, cannot be forgotten, or something on disk is not as it should be.
        WorkUnfinished: the work is done and certified, but the table or an old state could not be tidied up yet.
    """
    _require_untouched(place)
    with place.database.writing() as connection:
        chosen = _chosen(connection, work)
        _seq, at = log.append(connection, "batch.begun", [{"batch_kind": work.kind, "requests": len(work.requests)}])
        batch = requests.begin_batch(connection, work.kind, [task[:2] for task in chosen], at)
        requests.insert(connection, work.made)
        requests.assign(connection, work.requests, batch)
    try:
        change = place.table.prepare(batch, work.gone, work.added) if work.gone or work.added is not None else NOTHING
        prepared = list(_prepare(place, work, chosen, change, say))
        with place.database.writing() as connection:
            requests.require_batch(connection, batch, "intent")
            outcomes = _certify(place, connection, batch, work, prepared, change, at)
    except BaseException as error:
        with suppress(ExpungeError, OSError):  # recovery does it, if it cannot be done now
            _abandon(place, batch)
        if isinstance(error, OSError):
            raise WorkspaceInvalid(f"{place.path} cannot be written to ({error.strerror}); nothing was changed") from error
        raise
    try:
        recover(place)
    except (ExpungeError, OSError) as error:
        raise WorkUnfinished(
            f"batch {batch} is certified, but what it leaves behind could not be tidied up ({error}): the next command that "
            "writes carries on; run expunge process when the cause is mended"
        ) from error
    return outcomes


def recover(place: Place) -> None:
    """Finishes or gives up whatever was interrupted, and removes what it left lying. The caller holds ``place.exclusive()``."""
    with place.database.reading() as connection:
        unfinished = requests.unfinished(connection)
    for batch in unfinished:
        if batch.state == "intent":
            _abandon(place, batch.id)
        else:
            _finish(place, batch)
    _tidy(place)


@contextmanager
def working(place: Place, patience: float = PATIENCE) -> Iterator[None]:
    """The right to change models and table, with whatever was interrupted finished first; waits ``patience`` seconds for it."""
    with place.exclusive(patience):
        recover(place)
        yield


def state_of(place: Place, model: str) -> Unlearner:
    """The secret state of ``model`` now, also while another process makes a newer one.

    Raises:
        StateCorrupt: its file is missing, damaged, or not the one that the ledger names.
    """
    while True:
        with place.database.reading() as connection:
            number = releases.current(connection, model).number
            try:
                return load(place, connection, model)
            except StateCorrupt as error:
                problem = error
        with place.database.reading() as connection:
            if releases.current(connection, model).number == number:
                raise problem


def load(place: Place, connection: sa.Connection, model: str) -> Unlearner:
    """The secret state of ``model`` after its last release, for whoever holds ``place.exclusive()``.

    Raises:
        StateCorrupt: its file is missing, damaged, or not the one that the ledger names.
    """
    current = releases.current(connection, model)
    path = place.state_path(model, current.number)
    try:
        found = digest(path.read_bytes())
    except FileNotFoundError:
        raise StateCorrupt(
            f"the state of model {model!r}, {path}, is missing: restore it from a backup, or fit again"
        ) from None
    if found != current.state_digest:
        raise StateCorrupt(f"{path} is not the file that the ledger names: restore it from a backup, or fit again")
    if current.table_digest != listing_digest(data_files.present(connection)):
        raise StateCorrupt(f"the rows that {path} holds are not those of the table: run expunge doctor, and restore a backup")
    unlearner, restored = load_unlearner(path, place.engine), Restored.last(connection)
    if restored is not None and not restored.is_before(current):
        began = date.fromisoformat(unlearner.release.certificate.since)
        unlearner.resume_restored(restored.count, restored.since(began, unlearner.settings.schedule.days))
    return unlearner


def _require_untouched(place: Place) -> None:
    """Raises ``WorkspaceInvalid`` unless the table is the one that the ledger knows, file by file."""
    listed = {file.path for file in place.table.present()}
    if place.table.logged() != listed:
        raise WorkspaceInvalid(
            f"the table {place.table.path} was changed from outside: its transaction log names other files than the ledger, so "
            "that models and table may no longer agree. Restore the table from a backup; nothing was changed"
        )


def _chosen(connection: sa.Connection, work: Work) -> list[_Task]:
    """The models that the work concerns, each with the number of its new release; a new model has no old one."""
    chosen = []
    if work.fitted is not None:
        name, specification = work.fitted
        chosen.append(_Task(name, 1, specification))
    for row in releases.all_models(connection):
        if work.models is None or row.name in work.models:
            number = releases.current(connection, row.name).number + 1
            chosen.append(_Task(row.name, number, Specification.from_json(row.specification)))
    return chosen


def _prepare(place: Place, work: Work, chosen: Sequence[_Task], change: Change, say: Say) -> Iterator[_Prepared]:
    """New states beside the old ones, one after the other."""
    leaving = place.table.of_subjects(work.gone) if work.gone else None
    for name, number, specification in chosen:
        source = specification.source(place.table, change)
        if number == 1:
            yield _saved(place, name, number, _fitted(place, specification, source), {})
            continue
        with place.database.reading() as connection:
            unlearner = load(place, connection, name)
        removed = None if leaving is None else specification.rows(leaving)
        added = None if work.added is None else specification.rows(work.added)
        moved = influences(unlearner, leaving, removed)
        _operate(unlearner, work.kind, removed, added, place.near(source), name, say)
        yield _saved(place, name, number, unlearner, moved)


def _fitted(place: Place, specification: Specification, source: TableSource) -> Unlearner:
    objective, settings = specification.objective, specification.settings
    unlearner = Unlearner.learn_from(objective, place.near(source), settings, engine=place.engine)
    if settings.sigma > 0:
        NoiseCost.of(objective, source.sample(SAMPLE), unlearner._secret.point, settings.sigma).require_worth()
    return unlearner


def _operate(
    unlearner: Unlearner, kind: Kind, removed: Rows | None, added: Rows | None, source: RowSource, name: str, say: Say
) -> None:
    """Makes the new release, also if the model learned none of the rows: who had no target must not show in the log."""

    def before_refit() -> None:
        say(f"{name}: no pass over the remaining rows proves enough for this request; refitting")

    if kind == "refit":
        unlearner.refit(source)
    elif removed and added:
        unlearner.rectify(removed, added, source, before_refit=before_refit)
    elif removed:
        unlearner.forget(removed, source, before_refit=before_refit)
    elif added:
        unlearner.learn(added, source, before_refit=before_refit)
    else:
        unlearner.again(source, before_refit=before_refit)


def influences(unlearner: Unlearner, leaving: pa.Table | None, removed: Rows | None) -> dict[str, float]:
    """By pseudonym, how far the rows of each of ``leaving`` move the model's weights, in units of σ; see ``Outcome``."""
    sigma = unlearner.settings.sigma
    if leaving is None or not removed or removed.ids is None or sigma == 0:
        return {}
    owner = dict(zip(leaving["_row"].to_pylist(), leaving[SUBJECT].to_pylist(), strict=True))
    found: dict[str, float] = {}
    for row, moved in zip(removed.ids, unlearner.influence(removed) / sigma, strict=True):
        found[owner[row]] = found.get(owner[row], 0.0) + float(moved)
    return found


def _saved(place: Place, name: str, number: int, unlearner: Unlearner, influences: dict[str, float]) -> _Prepared:
    path = place.state_path(name, number)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    save_unlearner(unlearner, path)
    return _Prepared(name, number, unlearner.release, digest(path.read_bytes()), influences)


def _certify(
    place: Place,
    connection: sa.Connection,
    batch: int,
    work: Work,
    prepared: Sequence[_Prepared],
    change: Change,
    at: str,
) -> list[Outcome]:
    """The one transaction after which everything has happened; to the world all of it happened when the batch began, ``at``."""
    key = place.signing_key(connection)
    log.append(connection, "batch.certified", [{"batch": batch, "requests": list(work.requests)}], at)
    if work.fitted is not None:
        name, specification = work.fitted
        commitment = releases.add_model(connection, name, specification.to_json(), at)
        log.append(connection, "model.fitted", [{"model": name, "specification": commitment}], at)
    data_files.change(connection, change, batch)
    files = data_files.present(connection)
    set_fact(connection, "rows", sum(file.rows for file in files))
    if work.added is not None:
        set_fact(connection, "next_row", int(fact(connection, "next_row") or 0) + len(work.added))
    outcomes = []
    for new in prepared:
        certificate, weights = new.release.certificate, new.release.weights
        identity = releases.next_release(connection)
        evidence = certificate.to_json()
        claim = {"model": new.model, "release": new.number, "issued": at, "evidence": digest(evidence)}
        subject = {f"{new.model}/{new.number}": certificate.weights_digest}
        envelope = key.sign(CERTIFICATE, subject, {**certificate.public(), **claim})
        body = {"release": identity, "model": new.model, "number": new.number, "certificate": digest(envelope)}
        event, _at = log.append(connection, "release.certified", [body], at)
        releases.add_release(
            connection,
            {
                "id": identity,
                "model": new.model,
                "number": new.number,
                "batch": batch,
                "event": event,
                "envelope": envelope,
                "evidence": evidence,
                "weights": np.ascontiguousarray(weights, dtype="<f8").tobytes(),
                "state_digest": new.state_digest,
                "table_digest": listing_digest(files),
                "at": at,
            },
        )
        hooks.announce(connection, identity, times.exact())
        if work.kind == "refit":  # one that the ladder was forced into is not: the schedule must not tell the rung
            releases.owe(connection, new.model, None)
        elif work.gone:
            releases.owe(connection, new.model, at)
        outcomes.append(Outcome(new.model, new.number, identity, new.release, new.influences))
    requests.certify(connection, batch)
    requests.welcome_back(connection, work.returning)
    requests.set_batch(connection, batch, "certified")
    return outcomes


def _finish(place: Place, batch: sa.Row[Any]) -> None:
    """Everything after the transaction: the table's transaction log, deleting what is superseded, close."""
    with place.database.reading() as connection:
        requests.require_batch(connection, batch.id, "certified")
        gone = [row.subject for row in requests.of_batch(connection, batch.id) if row.subject is not None]
        affected, going = releases.of_batch(connection, batch.id), data_files.going(connection, batch.id)
    anchoring.keep(place, batch.id)
    place.table.follow()
    place.table.delete(going)
    for row in affected:
        for number in range(1, row.number):
            delete_file(place.state_path(row.model, number))
    with place.database.writing() as connection:
        requests.require_batch(connection, batch.id, "certified")
        log.append(connection, "batch.closed", [{"batch": batch.id, "erased": len(gone)}], batch.started)
        at = times.exact()
        releases.purge_superseded(connection, batch.id, at, weights=bool(gone))
        data_files.drop(connection, batch.id)
        requests.close(connection, batch.id, at)
        requests.set_batch(connection, batch.id, "closed", at)
        log.release_held(connection)
    place.database.wipe_free_space()


def _abandon(place: Place, batch: int) -> None:
    """Undoes what a batch has done before its transaction: the files that it is known to write, then the ledger."""
    with place.database.reading() as connection:
        found = requests.require_batch(connection, batch, "intent")
    place.table.discard(batch)
    for model, number in json.loads(found.states):
        path = place.state_path(model, number)
        delete_file(path)
        if number == 1:  # of a model that never was
            with suppress(FileNotFoundError):
                path.parent.rmdir()
    with place.database.writing() as connection:
        requests.require_batch(connection, batch, "intent")
        requests.release(connection, batch)
        log.append(connection, "batch.abandoned", [{"batch": batch}], found.started)
        requests.set_batch(connection, batch, "abandoned", times.exact())
        log.release_held(connection)


def _tidy(place: Place) -> None:
    """Deletes private keys that sign no more and files that were never finished; publishes public keys and the log's head."""
    with place.database.reading() as connection:
        retired = [*retired_keyids(connection), *filter(None, [fact(connection, COMING_KEY)])]
        public, signed = str(place.public_keys(connection)), log.checkpoint(connection)
    for keyid in retired:
        delete_file(key_path(place.keys, keyid))
    for folder in (place.path, place.keys, *place.models.iterdir()):
        for path in folder.glob(f"{PARTIAL}*"):
            delete_file(path)
    for path, text in ((place.public_key_path, public), (place.checkpoint_path, signed)):
        if text is not None and (not path.exists() or path.read_text() != text):
            write_file(path, text.encode())
    anchoring.keep_first(place)
