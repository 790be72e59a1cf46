"""Batches: how table, models and ledger change together, whatever happens in between.

    intent in the ledger → new state files → one transaction (releases, certificates, events) → table → purge → close

Before the transaction nothing has happened: ``recover`` gives the batch up, and noise that was drawn for it is never
used. After it everything has: ``recover`` carries it on. Each step can be done twice.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from expunge.cost import SAMPLE, NoiseCost
from expunge.data.table import SUBJECT
from expunge.errors import ExpungeError, StateCorrupt, WorkspaceInvalid
from expunge.files import PARTIAL, delete_file, write_file
from expunge.ledger import hooks, log, releases, requests, times
from expunge.ledger.coverage import bound
from expunge.ledger.facts import fact, set_fact, signing_keyid
from expunge.ledger.signing import CERTIFICATE, canonical, digest, key_path
from expunge.release import Release
from expunge.rows import Rows, RowSource
from expunge.storage import load_unlearner, save_unlearner
from expunge.unlearner import Unlearner
from expunge.workspace.place import PATIENCE, Place
from expunge.workspace.specification import Specification

Kind = Literal["fit", "forget", "append", "rectify", "refit"]
Say = Callable[[str], None]


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
    """
    with place.database.writing() as connection:
        version, first_row = _require_untouched(place, connection), int(fact(connection, "next_row") or 0)
        added = 0 if work.added is None else len(work.added)
        _seq, at = log.append(connection, "batch.begun", [{"batch_kind": work.kind, "requests": len(work.requests)}])
        batch = requests.begin_batch(connection, work.kind, first_row, added, version, at)
        requests.insert(connection, work.made)
        requests.assign(connection, work.requests, batch)
    try:
        if work.added is not None:
            sink = pa.BufferOutputStream()
            pq.write_table(work.added, sink)
            write_file(place.pending_path(batch), sink.getvalue().to_pybytes())
        prepared = list(_prepare(place, work, say))
        with place.database.writing() as connection:
            outcomes = _certify(place, connection, batch, work, prepared, at)
    except BaseException as error:
        with suppress(ExpungeError, OSError):  # recovery does it, if it cannot be done now
            _abandon(place, batch, at)
        if isinstance(error, OSError):
            raise WorkspaceInvalid(f"{place.path} cannot be written to ({error.strerror}); nothing was changed") from error
        raise
    recover(place)
    return outcomes


def recover(place: Place) -> None:
    """Finishes or gives up whatever was interrupted, and removes what it left lying. The caller holds ``place.exclusive()``."""
    with place.database.reading() as connection:
        unfinished = requests.unfinished(connection)
    for batch in unfinished:
        if batch.state == "intent":
            _abandon(place, batch.id, batch.started)
        else:
            _finish(place, batch)
    _sweep(place)


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
    return load_unlearner(path, place.engine)


def _require_untouched(place: Place, connection: sa.Connection) -> int:
    version = place.table.version
    if str(version) != fact(connection, "table_version"):
        raise WorkspaceInvalid(
            f"the table {place.table.path} was changed from outside (version {version}, the ledger knows "
            f"{fact(connection, 'table_version')}): models and table may no longer agree; restore the table, or make a new "
            "workspace"
        )
    return version


def _prepare(place: Place, work: Work, say: Say) -> Iterator[_Prepared]:
    """New states beside the old ones, one after the other."""
    with place.database.reading() as connection:
        listed = [(row.name, Specification.from_json(row.specification)) for row in releases.all_models(connection)]
        chosen = [pair for pair in listed if work.models is None or pair[0] in work.models]
    leaving = place.table.of_subjects(work.gone) if work.gone else None

    if work.fitted is not None:
        name, specification = work.fitted
        objective, settings = specification.objective, specification.settings
        rows = specification.source(place.table, work.gone, work.added)
        unlearner = Unlearner.learn_from(objective, place.near(rows), settings, engine=place.engine)
        if settings.sigma > 0:
            NoiseCost.of(objective, rows.sample(SAMPLE), unlearner._secret.point, settings.sigma).require_worth()
        yield _saved(place, name, 1, unlearner, {})
    for name, specification in chosen:
        with place.database.reading() as connection:
            unlearner, number = load(place, connection, name), releases.current(connection, name).number + 1
        removed = None if leaving is None else specification.rows(leaving)
        added = None if work.added is None else specification.rows(work.added)
        moved = influences(unlearner, leaving, removed)
        source = place.near(specification.source(place.table, work.gone, work.added))
        _operate(unlearner, work.kind, removed, added, source, name, say)
        yield _saved(place, name, number, unlearner, moved)


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
    place: Place, connection: sa.Connection, batch: int, work: Work, prepared: Sequence[_Prepared], at: str
) -> list[Outcome]:
    """The one transaction after which everything has happened; to the world all of it happened when the batch began, ``at``."""
    key = place.signing_key(connection)
    log.append(connection, "batch.certified", [{"batch": batch, "requests": list(work.requests)}], at)
    if work.fitted is not None:
        name, specification = work.fitted
        commitment = releases.add_model(connection, name, specification.to_json(), at)
        log.append(connection, "model.fitted", [{"model": name, "specification": commitment}], at)
    answered, table = requests.of_batch(connection, batch), _table_digest(place)
    outcomes = []
    for new in prepared:
        certificate, weights = new.release.certificate, new.release.weights
        identity = releases.next_release(connection)
        evidence = certificate.to_json()
        claim = {"model": new.model, "release": new.number, "issued": at, "evidence": digest(evidence)}
        claim |= bound(connection, new.model, certificate.salt, answered, table)
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
    log.seal(connection, key)
    return outcomes


def _table_digest(place: Place) -> str:
    """Of the files that the table had when the batch began."""
    files = [(path.removeprefix(f"{place.table.path}/"), os.path.getsize(path)) for path in place.table._files()]
    return digest(canonical(files))


def _finish(place: Place, batch: sa.Row[Any]) -> None:
    """Everything after the transaction: table, purge, close."""
    with place.database.reading() as connection:
        gone = [row.subject for row in requests.of_batch(connection, batch.id) if row.subject is not None]
        affected = releases.of_batch(connection, batch.id)
        next_row = int(fact(connection, "next_row") or 0)
    if gone or batch.added:
        added = pq.read_table(place.pending_path(batch.id)).to_batches() if batch.added else []
        if not gone and place.table.version == batch.version:
            place.table.append(added)
        else:
            place.table.rewrite(gone, batch.first_row, added)
    for row in affected:
        for number in range(1, row.number):
            delete_file(place.state_path(row.model, number))
    with place.database.writing() as connection:
        log.append(connection, "batch.closed", [{"batch": batch.id, "erased": len(gone)}], batch.started)
        at = times.exact()
        releases.purge_superseded(connection, batch.id, at, weights=bool(gone))
        requests.close(connection, batch.id, at)
        requests.set_batch(connection, batch.id, "closed", at)
        set_fact(connection, "table_version", place.table.version)
        set_fact(connection, "rows", place.table.count())
        set_fact(connection, "next_row", max(next_row, batch.first_row + batch.added))
        log.seal(connection, place.signing_key(connection))
        log.release_held(connection)
    place.database.wipe_free_space()


def _abandon(place: Place, batch: int, started: str) -> None:
    with place.database.writing() as connection:
        requests.release(connection, batch)
        log.append(connection, "batch.abandoned", [{"batch": batch}], started)
        requests.set_batch(connection, batch, "abandoned", times.exact())
        log.release_held(connection)
    _sweep(place)


def _sweep(place: Place) -> None:
    """Deletes what nothing refers to (states never released, rows never added, keys out of use); publishes key and head."""
    with place.database.reading() as connection:
        current = {row.name: releases.current(connection, row.name).number for row in releases.all_models(connection)}
        open_batches = {place.pending_path(batch.id) for batch in requests.unfinished(connection)}
        keyid, public, signed = signing_keyid(connection), str(place.public_keys(connection)), log.checkpoint(connection)
    for folder in place.models.iterdir():
        if folder.name not in current:
            shutil.rmtree(folder)
            continue
        for path in folder.iterdir():
            if path != place.state_path(folder.name, current[folder.name]):
                delete_file(path)
    for path in place.pending.iterdir():
        if path not in open_batches:
            delete_file(path)
    for path in place.keys.glob("signing-*.pem"):
        if keyid is not None and path != key_path(place.keys, keyid):
            delete_file(path)
    for path, text in ((place.public_key_path, public), (place.checkpoint_path, signed)):
        if text is not None and (not path.exists() or path.read_text() != text):
            write_file(path, text.encode())
    for folder in (place.path, place.keys):
        for path in folder.glob(f"{PARTIAL}*"):
            delete_file(path)
