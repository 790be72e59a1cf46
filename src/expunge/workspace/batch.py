"""Batches: how table, models and ledger change together, whatever happens in between.

    intent in the ledger → new files of the table and new states, beside the old ones → one transaction (releases,
    certificates, events, the table's files) → the anchor → the table's own log → deleting what is superseded → another look
    at what was drafted from the rows of those erased → close

Before the transaction nothing has happened: ``recover`` gives the batch up, and the noise drawn for it is never used. After
it everything has: ``recover`` finishes the batch. Each step can be repeated. A file is deleted only if a batch that the
ledger knows wrote it, under a name that the ledger knows.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow.compute as pc
import sqlalchemy as sa

from expunge.data.files import NOTHING, Change, listing_digest
from expunge.data.own_columns import ROW
from expunge.errors import ExpungeError, StateCorrupt, WorkspaceInvalid, WorkUnfinished
from expunge.evidence.events import EventKind
from expunge.evidence.signing import key_path
from expunge.evidence.statements import CERTIFICATE, digest
from expunge.files import delete_file, delete_unfinished, write_file
from expunge.ledger import batches, cases, data_files, log, notices, releases, requests, restrictions, times, tombstones
from expunge.ledger.batches import FORGETTING, Batch, BatchKind, BatchState
from expunge.ledger.bindings import answered, bound
from expunge.ledger.notices import Notice
from expunge.ledger.properties import read_property, set_property
from expunge.ledger.public_keys import retired_keyids
from expunge.ledger.requests import Request, RequestKind, RequestState
from expunge.unlearning.release import Release
from expunge.workspace import anchoring, drafts, edits
from expunge.workspace.people import People
from expunge.workspace.specification import Specification
from expunge.workspace.states import Notify, Prepared, Work, chosen_models, looks, prepared_states, silent
from expunge.workspace.storage import PATIENCE, Storage
from expunge.workspace.withheld import Forgetting

COMING_KEY = "coming_key"
"""The property that names a signing key that is being made; one that was never put into use is deleted."""
WIDER = "wider"
"""The property that names the column that was last widened and its new type, as JSON."""
FIRST_AGAIN, AGAIN = timedelta(hours=1), timedelta(days=1)
"""Waits before a failed request or model is tried again automatically: the first, doubled each time, and the longest."""


@dataclass(frozen=True)
class Outcome:
    """One model's new release.

    Args:
        model: name of the model.
        number: number of the release among those of its model.
        id: number of the release among all.
        release: weights and certificate.
        influences: for the pseudonym of each person forgotten, how far they move the weights, in units of σ (an upper bound, to
            first order); empty where σ is 0.
    """

    model: str
    number: int
    id: int
    release: Release
    influences: dict[str, float]


@dataclass(frozen=True)
class Done:
    """What a batch did.

    Args:
        outcomes: the new releases.
        closed: ids of requests that every living model has answered: their people are erased, or restricted.
    """

    outcomes: list[Outcome]
    closed: list[str]


def run(storage: Storage, work: Work, notify: Notify) -> Done:
    """Does the work; if anything raises, all stays as it was. The caller holds ``storage.exclusive()`` and has recovered.

    Only a batch that forgets continues when a model fails: that model is set aside.

    Raises:
        ExpungeError: the rows do not fit a model, cannot be forgotten, or something on disk is not as it should be.
        WorkUnfinished: the work is done and certified, but the table or an old state could not be tidied up yet.
    """
    storage.table.require_logged()
    with storage.database.writing() as connection:
        still = requests.still_waiting(connection, work.requests)  # somebody may have withdrawn one meanwhile
        if work.requests and not still:
            return Done([], [])
        work = replace(work, requests={name: person for name, person in work.requests.items() if name in still})
        chosen = chosen_models(connection, work)
        _seq, at = log.append(connection, EventKind.BATCH_BEGUN, [{"batch_kind": work.kind, "requests": len(work.requests)}])
        batch = batches.begin(connection, work.kind, [task[:2] for task in chosen], at, work.content)
        requests.insert(connection, [replace(request, batch=batch) for request in work.made])
        requests.assign(connection, list(work.requests), batch)
    try:
        change = _prepared(storage, batch, work)
        with storage.database.reading() as connection:
            before = Forgetting.of(connection)
        prepared, aside = prepared_states(storage, work, chosen, before, change, notify)
        complete = before.complete(work, prepared)
        erased = before.erased(complete)
        stones = People(storage).leaving(erased)
        if erased:
            change = storage.table.prepare(batch, list(erased.values()), None)
        with storage.database.writing() as connection:
            batches.require(connection, batch, BatchState.INTENT)
            done = _certify(storage, connection, batch, work, prepared, aside, complete, stones, change, at)
    except BaseException as error:
        with suppress(ExpungeError, OSError):  # recovery does it if it cannot be done now
            _abandon(storage, batch)
        if _is_certified(storage, batch):  # stopped between the commit and its acknowledgement
            raise _unfinished(batch, error) from error
        if isinstance(error, OSError):
            raise WorkspaceInvalid(f"{storage.path} cannot be written to ({error.strerror}); nothing was changed") from error
        raise
    try:
        recover(storage, notify)
    except (Exception, KeyboardInterrupt) as error:
        raise _unfinished(batch, error) from error
    return done


def _prepared(storage: Storage, batch: int, work: Work) -> Change:
    """The change of the table, prepared before any model is touched."""
    if work.wider is not None:
        return storage.table.prepare_widened(batch, *work.wider)
    return NOTHING if work.added is None else storage.table.prepare(batch, work.gone, work.added)


def recover(storage: Storage, notify: Notify = silent) -> None:
    """Finishes or gives up an interrupted batch and removes its leftovers. The caller holds ``storage.exclusive()``."""
    with storage.database.reading() as connection:
        unfinished = batches.unfinished(connection)
    for batch in unfinished:
        if batch.state == BatchState.INTENT:
            _abandon(storage, batch.id)
        else:
            _finish(storage, batch, notify)
    _tidy(storage)


def _is_certified(storage: Storage, batch: int) -> bool:
    try:
        with storage.database.reading() as connection:
            return any(found.id == batch and found.state == BatchState.CERTIFIED for found in batches.unfinished(connection))
    except (ExpungeError, OSError):
        return False


def _unfinished(batch: int, error: BaseException) -> WorkUnfinished:
    cause = str(error) if isinstance(error, ExpungeError) else type(error).__name__  # other texts may quote a row
    if isinstance(error, OSError) and error.strerror is not None:
        cause = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return WorkUnfinished(
        f"batch {batch} is done and certified, but its leftovers could not be removed ({cause}): the next command "
        "that writes tries again; run expunge process when the cause is fixed"
    )


def set_aside(storage: Storage, model: str, reason: str | Exception) -> None:
    """Lets the other models go on without one that cannot make a release now."""
    with storage.database.writing() as connection:
        _set_aside(storage, connection, model, reason, None)


@contextmanager
def in_charge(storage: Storage, patience: float = PATIENCE, is_idle: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """The right to change models and table; anything interrupted is finished first. See ``Storage.exclusive``."""
    with storage.exclusive(patience, is_idle):
        storage.renew_subject_key()
        recover(storage)
        edits.take(storage)
        yield


def _certify(
    storage: Storage,
    connection: sa.Connection,
    batch: int,
    work: Work,
    prepared: Sequence[Prepared],
    aside: Mapping[str, Exception],
    complete: Mapping[str, str],
    stones: Mapping[str, Sequence[str]],
    change: Change,
    at: str,
) -> Done:
    """The one transaction after which everything has happened; everything is dated ``at``, when the batch began.

    ``complete`` has the requests that every living model has answered, with their people; ``stones`` has those of them whose
    people are erased, with the tombstones for their other ids.
    """
    key = storage.signing_key(connection)
    log.append(connection, EventKind.BATCH_CERTIFIED, [{"batch": batch, "requests": list(complete)}], at)
    if work.fitted is not None:
        name, specification = work.fitted[0], work.fitted[1].to_json()
        if work.kind == BatchKind.FIT:
            commitment = releases.add_model(connection, name, specification, at)
        else:
            commitment = releases.replace(connection, name, specification)
        log.append(connection, EventKind.MODEL_FITTED, [{"model": name, "specification": commitment}], at)
    if work.kind == BatchKind.RETIRE:
        for name in work.models or ():
            releases.retire(connection, name, at)
            log.append(connection, EventKind.MODEL_RETIRED, [{"model": name}], at)
    if work.wider is not None:
        set_property(connection, WIDER, json.dumps(work.wider))
        log.append(connection, EventKind.TABLE_WIDENED, [dict(zip(("column", "to"), work.wider, strict=True))], at)
    for name, error in aside.items():
        _set_aside(storage, connection, name, error, at)
    data_files.change(connection, change, batch)
    files = data_files.present(connection)
    table_digest = listing_digest(files)
    set_property(connection, "rows", sum(file.rows for file in files))
    if work.added is not None:
        last = int(pc.max(work.added[ROW]).as_py())
        set_property(connection, "next_row", max(int(read_property(connection, "next_row") or 0), last + 1))
    if change != NOTHING:
        for row in releases.all_models(connection):
            releases.follow_table(connection, row.name, table_digest)
    outcomes = []
    for new in prepared:
        certificate, weights = new.release.certificate, new.release.weights
        identity = releases.next_release(connection)
        evidence = certificate.to_json()
        claim = {"model": new.model, "release": new.number, "issued": at, "evidence": digest(evidence)}
        requests.forgotten(connection, batch, new.model, new.forgot)
        theirs = answered(connection, batch, new.model)
        claim |= bound(connection, new.model, certificate.salt, theirs, table_digest)
        private = Specification.from_json(releases.named(connection, new.model).specification).privacy
        subject = {f"{new.model}/{new.number}": certificate.weights_digest}
        envelope = key.sign(CERTIFICATE, subject, {**certificate.public(), **claim, **private})
        body = {"release": identity, "model": new.model, "number": new.number, "certificate": digest(envelope)}
        event, _at = log.append(connection, EventKind.RELEASE_CERTIFIED, [body], at)
        releases.add_release(
            connection,
            releases.Release(
                id=identity,
                model=new.model,
                number=new.number,
                batch=batch,
                event=event,
                envelope=envelope,
                evidence=evidence,
                weights=np.ascontiguousarray(weights, dtype="<f8").tobytes(),
                state_digest=new.state_digest,
                table_digest=table_digest,
                at=at,
            ),
        )
        told = {"model": new.model, "release": new.number, "certificate": identity}
        notices.announce(connection, Notice.RELEASE_CERTIFIED, told, at=at)
        if work.kind == BatchKind.REFIT:  # not one that the ladder forced: the schedule must not reveal the rung
            releases.owe(connection, new.model, None)
        elif work.gone or new.forgot:
            releases.owe(connection, new.model, None if work.fitted else at)
        releases.set_aside(connection, new.model, None)
        outcomes.append(Outcome(new.model, new.number, identity, new.release, new.influences))
    requests.certify(connection, batch, [*complete, *(request.id for request in work.made)], times.exact())
    restrictions.lift(connection, list(work.lifted), times.exact())
    cases.end_with(connection, [complete[request] for request in stones])
    tombstones.keep_aliases(connection, stones)
    tombstones.welcome_back(connection, work.returning)
    batches.set_state(connection, batch, BatchState.CERTIFIED)
    blamed: dict[str, dict[str, str]] = {}
    for new in prepared:
        for request, reason in new.blamed.items():
            blamed.setdefault(request, {})[new.model] = reason
    for request, why in blamed.items():
        _blame(connection, request, why, at)
    return Done(outcomes, list(complete))


def _set_aside(storage: Storage, connection: sa.Connection, model: str, reason: str | Exception, at: str | None) -> None:
    """Notes why a model can forget nobody now; this is logged once."""
    if releases.named(connection, model).aside is None:
        log.append(connection, EventKind.MODEL_SET_ASIDE, [{"model": model}], at)
        notices.announce(connection, Notice.MODEL_SET_ASIDE, {"model": model}, at=at)
    unreadable = None
    if isinstance(reason, StateCorrupt):
        unreadable = looks(storage, model, releases.current(connection, model).number)
    releases.set_aside(connection, model, str(reason), _later(AGAIN), unreadable)


def blame(storage: Storage, request: str, problem: str) -> None:
    """Notes why a restriction that was lifted cannot end yet; it is tried again later."""
    with storage.database.writing() as connection:
        found = requests.by_id(connection, request)
        if found is not None and found.state == RequestState.LIFTING:
            requests.note_problem(connection, found, problem, _again_after(found))


def _again_after(found: Request) -> str:
    """When a request that has failed is tried again: later each time."""
    return _later(min(FIRST_AGAIN * 2**found.attempts, AGAIN))


def _blame(connection: sa.Connection, request: str, reasons: Mapping[str, str], at: str) -> None:
    """Notes which models cannot answer a request, and why; this is logged once."""
    found = requests.by_id(connection, request)
    assert found is not None  # it belongs to this batch
    if not found.attempts:
        log.append(connection, EventKind.REQUEST_STUCK, [{"request": request}], at)
        about = {"request": request, "deadline": found.deadline}
        notices.announce(connection, Notice.REQUEST_STUCK, {"requests": [about]}, at=at)
    text = "; ".join(f"{model}: {reason}" for model, reason in reasons.items())
    requests.note_problem(connection, found, text, _again_after(found))


def _later(wait: timedelta) -> str:
    return (times.now() + wait).isoformat(timespec="microseconds")


def _finish(storage: Storage, batch: Batch, notify: Notify) -> None:
    """Everything after the transaction: writes the table's transaction log, deletes what is superseded, closes the batch."""
    with storage.database.reading() as connection:
        batches.require(connection, batch.id, BatchState.CERTIFIED)
        mine = requests.of_batch(connection, batch.id)
        gone = [row.subject for row in mine if row.subject is not None and row.kind != RequestKind.RESTRICT]
        affected, going = releases.of_batch(connection, batch.id), data_files.going(connection, batch.id)
        retired = releases.left_by_the_retired(connection)
        wider = json.loads(read_property(connection, WIDER) or "null")
    anchoring.keep(storage, batch.id)
    storage.table.follow(wider if batch.kind == BatchKind.WIDEN else None)
    storage.table.delete(going)
    superseded = [(row.model, number) for row in affected for number in range(1, row.number)]
    for model, number in (*superseded, *retired):
        delete_file(storage.state_path(model, number))
    shared_by_few = drafts.looked_again(storage, notify) if gone else None
    with storage.database.erasing() as connection:
        batches.require(connection, batch.id, BatchState.CERTIFIED)
        log.append(connection, EventKind.BATCH_CLOSED, [{"batch": batch.id, "erased": len(gone)}], batch.started)
        at = times.exact()
        releases.purge_superseded(connection, batch.id, at, weights=batch.kind in FORGETTING)
        releases.forget_states(connection, retired)
        data_files.drop(connection, batch.id)
        if shared_by_few is not None:
            drafts.note(connection, shared_by_few)
        requests.close(connection, batch.id, at)
        batches.set_state(connection, batch.id, BatchState.CLOSED, at)
        log.release_held(connection)


def _abandon(storage: Storage, batch: int) -> None:
    """Undoes what a batch did before its transaction: the files that it is known to write, then the ledger."""
    with storage.database.reading() as connection:
        found = batches.require(connection, batch, BatchState.INTENT, BatchState.ABANDONED)
    storage.table.discard(batch)
    if found.state == BatchState.ABANDONED:  # by another process while this one was asleep; it may have written since
        return
    for model, number in found.states:
        path = storage.state_path(model, number)
        delete_file(path)
        if number == 1:  # the model never existed
            with suppress(FileNotFoundError):
                path.parent.rmdir()
    with storage.database.writing() as connection:
        batches.require(connection, batch, BatchState.INTENT)
        requests.release(connection, batch)
        log.append(connection, EventKind.BATCH_ABANDONED, [{"batch": batch}], found.started)
        batches.set_state(connection, batch, BatchState.ABANDONED, times.exact())
        log.release_held(connection)


def _tidy(storage: Storage) -> None:
    """Deletes private keys that no longer sign and unfinished files; publishes public keys and the log's head."""
    with storage.database.reading() as connection:
        retired = [*retired_keyids(connection), *filter(None, [read_property(connection, COMING_KEY)])]
        public, signed = str(storage.public_keys(connection)), log.checkpoint(connection)
    for keyid in retired:
        delete_file(key_path(storage.keys, keyid))
    for folder in storage.written:
        delete_unfinished(folder)
    for path, text in ((storage.public_key_path, public), (storage.checkpoint_path, signed)):
        if text is not None and (not path.exists() or path.read_text() != text):
            write_file(path, text.encode())
    anchoring.keep_first(storage)
