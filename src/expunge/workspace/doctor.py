"""The doctor: checks every invariant of a workspace, and changes nothing."""

import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from expunge.certificate import Certificate
from expunge.errors import ExpungeError, LedgerCorrupt, WorkspaceInvalid
from expunge.files import PARTIAL
from expunge.ledger import log, releases, requests, sealing, times
from expunge.ledger.facts import fact
from expunge.ledger.receipts import committed
from expunge.ledger.signing import digest
from expunge.privacy import Guarantee
from expunge.workspace import batch
from expunge.workspace.place import Place
from expunge.workspace.specification import Specification

NAMES = (
    *("keys", "models", "table", "lock", "ledger.lock", "ledger.witness", "ledger.sqlite", "ledger.sqlite-wal"),
    *("ledger.sqlite-shm", "workspace.toml", "schema.toml", "expunge.pub", "checkpoint.json"),
)
"""What may lie in the folder."""


@dataclass(frozen=True)
class Finding:
    """What one check found: ``problem`` is ``None`` where all is well; a ``warning`` harms nothing yet."""

    check: str
    problem: str | None
    warning: str | None = None


def examine(place: Place) -> Iterator[Finding]:
    """Every check and what it found, in order. A batch that was interrupted is a problem only until the next command.

    Raises:
        WorkspaceInvalid: there is no workspace.
    """
    place.configuration  # noqa: B018  # says if there is no workspace
    checks: list[tuple[str, Callable[[Place], None]]] = [
        ("settings, schema and keys can be read", _readable),
        ("private files are readable by their owner alone", _private),
        ("the database is sound", lambda place: place.database.verify()),
        ("every entry of the ledger is as it was sealed", _sealed),
        ("no batch is unfinished", _finished),
        ("the log is what was signed", _log),
        ("every certificate is signed, in the log, and fits its evidence", _certificates),
        ("every model is specified as the log says", _specifications),
        ("no budget is overspent", _budgets),
        ("every model's state is the one released", _states),
        ("the table is the one the ledger knows", _table),
        ("models have learned exactly the rows of the table", _rows),
        ("nobody forgotten has rows", _forgotten),
        ("nothing is left lying", _strays),
        ("no request is past its deadline", _deadlines),
    ]
    for name, check in checks:
        try:
            check(place)
        except (ExpungeError, OSError, ValueError, KeyError) as error:
            yield Finding(name, str(error) or type(error).__name__)
        else:
            yield Finding(name, None)
    yield Finding("an older copy of this workspace would be noticed", None, _unanchored(place))


def _unanchored(place: Place) -> str | None:
    if place.configuration.anchor:
        return None
    return "no anchor is set, so that a copy of yesterday's folder would pass for today's: set one in workspace.toml"


def _readable(place: Place) -> None:
    from expunge.data.schema import FeatureSchema

    FeatureSchema.read(place.schema_path)
    with place.database.reading() as connection:
        place.signing_key(connection)
        expected, public = fact(connection, "subject_key"), str(place.public_keys(connection))
    if place.subject_key.fingerprint() != expected:
        raise WorkspaceInvalid("keys/subject.key is another key than the table was made with: restore it from a backup")
    if place.public_key_path.read_text() != public:
        raise WorkspaceInvalid("expunge.pub does not hold the ledger's public keys: any command that writes mends it")


def _private(place: Place) -> None:
    for path in (*place.keys.iterdir(), *place.models.rglob("*.safetensors"), *place.table.path.rglob("*.parquet")):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise WorkspaceInvalid(f"{path} can be read by others: chmod 600 it")


def _finished(place: Place) -> None:
    with place.database.reading() as connection:
        unfinished, held = [str(row.id) for row in requests.unfinished(connection)], log.count_held(connection)
    if unfinished:
        raise WorkspaceInvalid(f"batch {', '.join(unfinished)} was interrupted: the next command that writes finishes it")
    if held:
        raise LedgerCorrupt(f"{held} events wait for a batch that is over: restore the ledger from a backup")


def _sealed(place: Place) -> None:
    with place.database.reading() as connection:
        sealing.verify(connection)


def _log(place: Place) -> None:
    earlier = place.checkpoint_path.read_text() if place.checkpoint_path.exists() else None
    with place.database.reading() as connection:
        log.verify_log(connection, place.public_keys(connection), earlier)


def _certificates(place: Place) -> None:
    with place.database.reading() as connection:
        keys, numbers = place.public_keys(connection), dict[str, int]()
        for expected, row in enumerate(releases.all_releases(connection), 1):
            where = f"release {row.number} of {row.model}"
            predicate = log.verify_bundle(json.loads(log.bundle(connection, row.envelope, row.event)), keys)["predicate"]
            numbers[row.model] = numbers.get(row.model, 0) + 1
            if row.id != expected or row.number != numbers[row.model]:
                raise LedgerCorrupt(f"{where} is out of order: a release is missing")
            if predicate["evidence"] != digest(row.evidence):
                raise LedgerCorrupt(f"the evidence of {where} is not what its certificate commits to")
            certificate = Certificate.from_json(row.evidence)
            if {**predicate, **certificate.public()} != predicate:
                raise LedgerCorrupt(f"the evidence of {where} says something else than its certificate")
            if row.weights is not None and digest(row.weights) != certificate.weights_digest:
                raise LedgerCorrupt(f"the weights of {where} are not those certified")


def _specifications(place: Place) -> None:
    with place.database.reading() as connection:
        said = {event["model"]: event["specification"] for event in log.of_kind(connection, "model.fitted")}
        for model in releases.all_models(connection):
            if committed(model.salt, model.name, model.specification) != said.get(model.name):
                raise LedgerCorrupt(f"the specification of {model.name} is not the one it was fitted with, by the log")


def _budgets(place: Place) -> None:
    spent: dict[str, float] = {}  # Σ μ² since the earliest deletion of the period
    with place.database.reading() as connection:
        for row in releases.all_releases(connection):
            certificate = Certificate.from_json(row.evidence)
            if certificate.sigma == 0:
                continue
            if certificate.mu_total > Guarantee(certificate.epsilon, certificate.delta).mu:
                raise LedgerCorrupt(f"release {row.number} of {row.model} spent more than was promised")
            is_owed = certificate.forgotten > 0 or spent.get(row.model, 0.0) > 0.0
            before = spent.get(row.model, 0.0)
            charge = 0.0 if certificate.scheduled else certificate.mu**2
            if is_owed and certificate.mu_total**2 < (before + charge) * (1.0 - 1e-9):
                raise LedgerCorrupt(f"release {row.number} of {row.model} was not charged to its budget")
            spent[row.model] = 0.0 if certificate.scheduled else certificate.mu_total**2


def _states(place: Place) -> None:
    with place.database.reading() as connection:
        for model in releases.all_models(connection):
            unlearner, last = batch.load(place, connection, model.name), releases.current(connection, model.name)
            if unlearner.release.certificate.to_json() != last.evidence:
                raise LedgerCorrupt(f"the state of {model.name} belongs to another release than its last")


def _table(place: Place) -> None:
    with place.database.reading() as connection:
        rows = fact(connection, "rows")
    files = place.table.files()
    if place.table.logged() != {file.path for file in files}:
        raise WorkspaceInvalid("the table's transaction log names other files than the ledger: it was changed outside")
    if str(place.table.count()) != rows:
        raise WorkspaceInvalid(f"the table has {place.table.count()} rows, the ledger knows {rows}")


def _rows(place: Place) -> None:
    with place.database.reading() as connection:
        for model in releases.all_models(connection):
            learned = json.loads(releases.current(connection, model.name).evidence)["remaining"]
            rows = place.table.count(Specification.from_json(model.specification).target)
            if learned != rows:
                raise WorkspaceInvalid(f"{model.name} holds {learned:g} rows, the table has {rows} with its target")


def _forgotten(place: Place) -> None:
    with place.database.reading() as connection:
        gone = requests.closed_tombstones(connection)
    for pseudonym in place.table.subjects().to_pylist():
        if place.subject_key.tombstone(pseudonym) in gone:
            raise WorkspaceInvalid("somebody who was forgotten has rows in the table")


def _strays(place: Place) -> None:
    with place.database.reading() as connection:
        current = {
            place.state_path(m.name, releases.current(connection, m.name).number) for m in releases.all_models(connection)
        }
    found = [path for path in place.models.rglob("*") if path.is_file() and path not in current]
    found += [*place.table.strays(), *place.path.rglob(f"{PARTIAL}*")]
    found += [path for path in place.path.iterdir() if path.name not in NAMES]
    if found:
        raise WorkspaceInvalid(f"{found[0]} is not of the workspace: move it elsewhere, or delete it if you know what it is")


def _deadlines(place: Place) -> None:
    with place.database.reading() as connection:
        first = requests.open_requests(connection, 1)
    if first and first[0].deadline < times.exact():
        raise WorkspaceInvalid(f"request {first[0].id} was due on {first[0].deadline[:10]}: run expunge process")
