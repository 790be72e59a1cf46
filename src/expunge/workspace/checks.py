"""Checks: the invariants of a workspace. Each is a function that raises where its invariant fails, and changes nothing. It may
return a warning: something that does no harm."""

import math
import shlex
import stat

from expunge.errors import LedgerCorrupt, WorkspaceInvalid
from expunge.evidence.events import EventKind
from expunge.evidence.receipts import committed
from expunge.files import PARTIAL, is_left, unfinished
from expunge.ledger import batches, register, releases, requests, sealing, times, tokens, tombstones
from expunge.ledger import log as events
from expunge.ledger.batches import BatchKind
from expunge.ledger.database import COPY
from expunge.ledger.properties import read_property
from expunge.ledger.requests import STANDING, RequestState
from expunge.privacy import Guarantee
from expunge.unlearning.certificate import Certificate
from expunge.workspace import drafts
from expunge.workspace.comparison import unfit
from expunge.workspace.deadlines import days_left
from expunge.workspace.forgetting import until
from expunge.workspace.genuineness import require_genuine
from expunge.workspace.specification import Specification
from expunge.workspace.states import load
from expunge.workspace.storage import Storage
from expunge.workspace.withheld import Forgetting

ANSWERED = (RequestState.CERTIFIED, RequestState.CLOSED, RequestState.RETURNED, *STANDING, RequestState.LIFTED)
LIFTED = (RequestState.LIFTING, RequestState.LIFTED)
"""States of requests that the log calls certified, and of restrictions that it calls lifted."""
NAMES = (
    *("keys", "models", "table", "lock", "jobs.lock", "ledger.lock", "ledger.witness", "ledger.sqlite"),
    *("ledger.sqlite-wal", "ledger.sqlite-shm", COPY, "workspace.toml", "schema.toml", "expunge.pub", "checkpoint.json"),
)
"""What may lie in the folder."""


def readable(storage: Storage) -> None:
    """Settings, schema and keys can be read, and the keys are the workspace's own."""
    from expunge.data.schema import FeatureSchema

    FeatureSchema.read(storage.schema_path)
    with storage.database.reading() as connection:
        storage.signing_key(connection)
        expected, public = read_property(connection, "subject_key"), str(storage.public_keys(connection))
    if storage.subject_key.fingerprint() != expected:
        raise WorkspaceInvalid("keys/subject.key is not the key that the table was made with: restore it from a backup")
    if storage.public_key_path.read_text() != public:
        raise WorkspaceInvalid("expunge.pub does not hold the ledger's public keys: any command that writes fixes it")


def private(storage: Storage) -> None:
    """Only what is to be published can be read by anybody but the owner."""
    loose = []
    for path in (storage.path, *sorted(storage.path.rglob("*"))):
        try:
            mode, least = stat.S_IMODE(path.lstat().st_mode), 0o700 if path.is_dir() else 0o600
        except FileNotFoundError:  # another process has just renamed or deleted it
            continue
        if mode & 0o077 and path not in (storage.public_key_path, storage.checkpoint_path) and not path.is_symlink():
            loose.append(f"{path} is open to others (mode {mode:o}): chmod {least:o} {shlex.quote(str(path))}")
    if loose:
        more = f"; and {len(loose) - 1} more, all with: chmod -R go= {shlex.quote(str(storage.path))}" if len(loose) > 1 else ""
        raise WorkspaceInvalid(loose[0] + more)


def finished(storage: Storage) -> None:
    """No batch was interrupted, and no event waits for one that is over."""
    with storage.database.reading() as connection:
        unfinished, held = [str(row.id) for row in batches.unfinished(connection)], events.count_held(connection)
    if unfinished:
        raise WorkspaceInvalid(f"batch {', '.join(unfinished)} was interrupted: the next command that writes finishes it")
    if held:
        raise LedgerCorrupt(f"{held} events wait for a batch that is over: restore the ledger from a backup")


def sealed(storage: Storage) -> None:
    """Every entry of the ledger is as it was sealed, and none is missing or extra."""
    with storage.database.reading() as connection:
        sealing.verify(connection)


def log(storage: Storage) -> None:
    """Every event is what was signed, and the log continues the checkpoint beside it."""
    earlier = storage.checkpoint_path.read_text() if storage.checkpoint_path.exists() else None
    with storage.database.reading() as connection:
        events.verify_log(connection, storage.public_keys(connection), earlier)


def certificates(storage: Storage) -> None:
    """Every certificate is signed, in the log, and agrees with its evidence."""
    with storage.database.reading() as connection:
        keys, numbers = storage.public_keys(connection), dict[str, int]()
        for expected, row in enumerate(releases.all_releases(connection), 1):
            where = f"release {row.number} of {row.model}"
            numbers[row.model] = numbers.get(row.model, 0) + 1
            if row.id != expected or row.number != numbers[row.model]:
                raise LedgerCorrupt(f"{where} is out of order: a release is missing")
            require_genuine(connection, row, keys)


def specifications(storage: Storage) -> None:
    """Every model is specified as the log says it was fitted."""
    with storage.database.reading() as connection:
        said = {
            event.text("model"): event.text("specification") for event in events.of_kind(connection, EventKind.MODEL_FITTED)
        }
        for model in releases.all_models(connection):
            if committed(model.salt, model.name, model.specification) != said.get(model.name):
                raise LedgerCorrupt(f"the specification of {model.name} is not the one it was fitted with, by the log")


def budgets(storage: Storage) -> None:
    """No model has spent more than was promised."""
    spent: dict[str, float] = {}  # Σ μ² since the earliest deletion of the period
    with storage.database.reading() as connection:
        kinds = {row.id: row.kind for row in releases.listed(connection)}
        for row in releases.all_releases(connection):
            certificate = Certificate.from_json(row.evidence)
            if certificate.scale == 0:
                continue
            if certificate.mu_total > Guarantee(certificate.epsilon, certificate.delta).mu:
                raise LedgerCorrupt(f"release {row.number} of {row.model} spent more than was promised")
            if kinds[row.id] in (BatchKind.FIT, BatchKind.REPLACE):  # another model, with a budget of its own
                spent[row.model] = 0.0
                continue
            is_owed = certificate.n_forgotten > 0 or spent.get(row.model, 0.0) > 0.0
            before = spent.get(row.model, 0.0)
            charge = 0.0 if certificate.scheduled else certificate.mu**2
            if is_owed and certificate.mu_total**2 < (before + charge) * (1.0 - 1e-9):
                raise LedgerCorrupt(f"release {row.number} of {row.model} was not charged to its budget")
            spent[row.model] = 0.0 if certificate.scheduled else certificate.mu_total**2


def states(storage: Storage) -> None:
    """Every state file is the one released, and holds the rows of the table."""
    with storage.database.reading() as connection:
        for model in releases.all_models(connection):
            unlearner, last = load(storage, connection, model.name), releases.current(connection, model.name)
            if unlearner.release.certificate != Certificate.from_json(last.evidence):  # an older one says less
                raise LedgerCorrupt(f"the state of {model.name} belongs to another release than its last")


def table(storage: Storage) -> None:
    """Every file of the table is the one that was written, and its transaction log names no other."""
    with storage.database.reading() as connection:
        rows = read_property(connection, "rows")
    storage.table.files()
    storage.table.require_logged()
    if str(storage.table.count()) != rows:
        raise WorkspaceInvalid(f"the table has {storage.table.count()} rows, the ledger knows {rows}")


def rows(storage: Storage) -> None:
    """Every model has learned as many rows as the table holds for it, or as much weight of them, up to rounding."""
    with storage.database.reading() as connection:
        for model in releases.all_models(connection):
            learned = releases.current(connection, model.name).figures.remaining
            hidden = Forgetting.of(connection).forgotten(model.name)
            rows = Specification.from_json(model.specification).total_weight(storage.table, hidden)
            if not math.isclose(learned, rows, rel_tol=1e-9):
                raise WorkspaceInvalid(f"{model.name} holds {learned:g} rows, but the table has {rows} with its target for it")


def forgotten(storage: Storage) -> None:
    """Nobody who was forgotten has rows."""
    with storage.database.reading() as connection:
        gone = requests.closed_tombstones(connection)
    for pseudonym in storage.table.subjects().to_pylist():
        if storage.subject_key.tombstone(pseudonym) in gone:
            raise WorkspaceInvalid("somebody who was forgotten has rows in the table")


def buried(storage: Storage) -> None:
    """No tombstone is kept for longer than the settings say."""
    with storage.database.reading() as connection:
        due = tombstones.due(connection, until(storage))
    if due:
        raise WorkspaceInvalid(f"{due:,} tombstones have outlived their term: run expunge process")


def shared(storage: Storage) -> None:
    """At least ten people share everything that was taken from the rows."""
    found = []
    for few in drafts.lacking(storage):
        what = f"{sum(few.values.values())} values in columns {', '.join(few.values)}"
        model = few.source.model
        remedy = "edit it" if model is None else f"edit schema.toml, then run expunge replace {model}"
        found.append(f"in {'schema.toml' if model is None else f'the model {model}'}, {what}: {remedy}")
    if found:
        raise WorkspaceInvalid(f"fewer than ten people share some of what was taken from the rows: {'; '.join(found)}")


def strays(storage: Storage) -> str | None:
    """There is no file that nothing refers to. What a killed command left unfinished is only told: it goes by itself."""
    with storage.database.reading() as connection:
        current = {
            storage.state_path(m.name, releases.current(connection, m.name).number) for m in releases.all_models(connection)
        }
    begun = [path for folder in storage.written for path in unfinished(folder)]
    found = [path for path in storage.models.rglob("*") if path.is_file() and path not in current]
    found += [*storage.table.strays(), *storage.path.rglob(f"{PARTIAL}*")]
    found += [path for path in storage.path.iterdir() if path.name not in NAMES]
    found, left = [path for path in found if path not in begun], list(filter(is_left, begun))
    if found:
        raise WorkspaceInvalid(
            f"{found[0]} does not belong to the workspace: move it elsewhere, or delete it if you know what it is"
        )
    if left:
        return f"{left[0]} is left of a command that was killed: the service deletes it within seconds, or expunge process"
    return None


def deadlines(storage: Storage) -> None:
    """No open request is past its deadline."""
    with storage.database.reading() as connection:
        first = register.open_requests(connection, 1)
    if first and days_left(first[0].deadline, times.now()) < 0:
        raise WorkspaceInvalid(f"request {first[0].id} was due on {first[0].deadline[:10]}: run expunge process")


def newest(storage: Storage) -> None:
    """The ledger is the newest that this folder knows, and the folder is the ledger's own."""
    storage.unproven_database.require_newest()
    storage.require_own()
    storage.require_anchors()


def present(storage: Storage) -> None:
    """Every file that the ledger knows is there, with the length it had."""
    for file in storage.table.present():
        path = storage.table.path / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            raise WorkspaceInvalid(f"the file {path} of the table is missing or was changed")
    with storage.database.reading() as connection:
        for model in releases.all_models(connection):
            path = storage.state_path(model.name, releases.current(connection, model.name).number)
            if not path.is_file():
                raise WorkspaceInvalid(f"the state of model {model.name}, {path}, is missing")


def able(storage: Storage) -> None:
    """Every model can forget."""
    with storage.database.reading() as connection:
        aside = {row.name: row.aside for row in releases.all_models(connection) if row.aside is not None}
    if aside:
        said = "; ".join(f"{name} is set aside, and requests wait for it: {reason}" for name, reason in aside.items())
        raise WorkspaceInvalid(said)


def asked(storage: Storage) -> None:
    """Requests and tokens agree with the log."""
    with storage.database.reading() as connection:
        of, held = events.of_kind, events.held_of_kind
        asked_by = [*of(connection, EventKind.REQUEST_ACCEPTED), *held(connection, EventKind.REQUEST_ACCEPTED)]
        accepted = {event.text("request"): event.text("commitment") for event in asked_by}
        done = of(connection, EventKind.BATCH_CERTIFIED)
        certified = {name for event in done for name in event.texts("requests")}
        again = of(connection, EventKind.REQUEST_RESTORED)
        restored = {event.text("request"): event.text("commitment") for event in again}
        issued_by = [*of(connection, EventKind.TOKEN_ISSUED), *held(connection, EventKind.TOKEN_ISSUED)]
        revoked_by = [*of(connection, EventKind.TOKEN_REVOKED), *held(connection, EventKind.TOKEN_REVOKED)]
        issued = {event.text("token"): event.text("role") for event in issued_by}
        revoked = {event.text("token") for event in revoked_by}
        rows = {row.id: row for row in requests.made(connection)}
        lifted_by = [*of(connection, EventKind.REQUEST_LIFTED), *held(connection, EventKind.REQUEST_LIFTED)]
        lifted = {event.text("request") for event in lifted_by}
        holders = tokens.listed(connection)
    accepted, certified = {**accepted, **restored}, {*certified, *restored}
    for name, commitment in accepted.items():
        if name not in rows or rows[name].commitment != commitment:
            raise LedgerCorrupt(f"request {name}, which the log says was accepted, is missing, or is a different request")
    for name, row in rows.items():
        if row.state != RequestState.REFUSED and name not in accepted:
            raise LedgerCorrupt(f"the log knows nothing of request {name}")
        if (row.state in ANSWERED) != (name in certified) or (row.state in LIFTED) != (name in lifted):
            raise LedgerCorrupt(f"request {name} is {row.state}, but the log says otherwise")
    for token in holders:
        if issued.get(token.id) != token.role or (token.revoked is not None) != (token.id in revoked):
            raise LedgerCorrupt(f"the token {token.id} is not what the log says was issued or revoked")


def compared(storage: Storage) -> None:
    """Every model holds the rows of the table, judged by their sums at its anchor."""
    if found := unfit(storage):
        raise WorkspaceInvalid("; ".join(f"{name}: {reason}" for name, reason in found.items()))


def retrained(storage: Storage) -> None:
    """Every model is as close to one retrained on the table as its last certificate says."""
    with storage.database.reading() as connection:
        living = [(row.name, Specification.from_json(row.specification)) for row in releases.all_models(connection)]
        hidden = Forgetting.of(connection)
        loaded = {name: load(storage, connection, name) for name, _specification in living}
    for name, specification in living:
        bound = loaded[name].release.certificate.distance_bound
        distance = loaded[name].true_distance(storage.cached(specification.source(storage.table, hidden.forgotten(name))))
        if not distance <= bound:
            raise WorkspaceInvalid(
                f"{name} is {distance:.4g} from the model retrained on the table, but it is certified to be within {bound:.4g}"
            )
