"""The log: whatever is altered, dropped, added or moved is noticed, in the database and in every file that leaves it."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from pymerkle import InmemoryTree

from expunge.errors import LedgerCorrupt, SignatureInvalid
from expunge.evidence.events import EventKind
from expunge.evidence.receipts import Receipt
from expunge.evidence.signing import PublicKeys, SigningKey
from expunge.evidence.statements import CERTIFICATE, canonical, digest
from expunge.evidence.verification import ProvenCertificate, ProvenLog, ProvenReceipt, verify_file
from expunge.ledger import log
from expunge.ledger.database import Database
from expunge.ledger.public_keys import add_key, keys
from expunge.ledger.sealing import SealKey
from expunge.ledger.tables import checkpoints, events
from tests.ledger.consistency import verify_continues

KEY = SealKey(bytes(32))


def filled(database: Database, key: SigningKey, count: int = 9) -> None:
    with database.writing() as connection:
        for i in range(count):
            log.append(connection, EventKind.CLOCK_CONFIRMED, [{"number": i}])
        add_key(connection, key.keyid, key.pem, "2026")
        log.seal(connection, key)


def certified(database: Database, key: SigningKey, folder: Path) -> Path:
    """A certificate's bundle in a file."""
    filled(database, key)
    with database.writing() as connection:
        claim = {"model": "m", "release": 1, "issued": "2026", "epsilon": 1.0, "delta": 1e-6, "sigma": 0.1}
        envelope = key.sign(CERTIFICATE, {"m/1": "0" * 64}, claim)
        seq, _at = log.append(connection, EventKind.RELEASE_CERTIFIED, [{"certificate": digest(envelope)}])
        log.append(connection, EventKind.CLOCK_CONFIRMED, [{"number": i} for i in range(5)])
        log.seal(connection, key)
    with database.reading() as connection:
        (folder / "c.json").write_text(log.bundle(connection, envelope, seq))
    return folder / "c.json"


def test_bundle_receipt_and_log_are_verified_offline(database, key, tmp_path):
    path, trusted = certified(database, key, tmp_path), PublicKeys.of([(key.pem, None)])
    certificate = verify_file(path, trusted)
    assert isinstance(certificate, ProvenCertificate) and certificate.model == "m"
    with database.reading() as connection:
        (tmp_path / "log.json").write_text(log.export(connection))
    assert verify_file(tmp_path / "log.json", trusted) == ProvenLog("log", 15)
    (tmp_path / "r.json").write_text(Receipt.issue(key, "5a" * 32, "r-1", "ann", {"received": "2026", "ids": "2"}).document)
    receipt = verify_file(tmp_path / "r.json", trusted, "ann")
    assert isinstance(receipt, ProvenReceipt) and receipt.request == "r-1"
    with pytest.raises(SignatureInvalid, match="not for this subject"):
        verify_file(tmp_path / "r.json", trusted, "bob")


def test_every_altered_byte_of_a_certificate_is_noticed(key, tmp_path):
    database = Database(f"sqlite:///{tmp_path}/l.sqlite", KEY)
    database.migrate()
    path, trusted = certified(database, key, tmp_path), PublicKeys.of([(key.pem, None)])
    whole = path.read_bytes()
    verify_file(path, trusted)
    for at in range(len(whole)):
        for byte in {whole[at] ^ 1, whole[at] ^ 32, ord("0"), ord(" ")} - {whole[at]}:
            path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            with pytest.raises(SignatureInvalid):
                verify_file(path, trusted)
        path.write_bytes(whole[:at] + whole[at + 1 :])
        with pytest.raises(SignatureInvalid):
            verify_file(path, trusted)
    database.close()


def test_every_altered_byte_of_a_receipt_is_noticed(key, tmp_path):
    path, trusted = tmp_path / "r.json", PublicKeys.of([(key.pem, None)])
    whole = Receipt.issue(key, "5a" * 32, "r-1", "ann", {"received": "2026", "ids": "2"}).document.encode()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(SignatureInvalid):
            verify_file(path, trusted)


def altered(content: dict, change) -> str:
    change(content["events"])
    return canonical(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries.pop(),
        lambda entries: entries.pop(3),
        lambda entries: entries.append(entries[-1]),
        lambda entries: entries.insert(2, entries.pop(5)),
        lambda entries: entries.__setitem__(4, entries[4].replace('"number":4', '"number":5')),
        lambda entries: entries.clear(),
    ],
    ids=["last missing", "one missing", "one twice", "one moved", "one altered", "all missing"],
)
def test_an_exported_log_that_was_touched_is_noticed(change, key, tmp_path):
    database = Database(f"sqlite:///{tmp_path}/l.sqlite", KEY)
    database.migrate()
    filled(database, key)
    with database.reading() as connection:
        content = json.loads(log.export(connection))
    (tmp_path / "log.json").write_text(altered(content, change))
    with pytest.raises(SignatureInvalid):
        verify_file(tmp_path / "log.json", PublicKeys.of([(key.pem, None)]))
    database.close()


@contextmanager
def noticed(database: Database, key: SigningKey, earlier: str | None = None):
    with database.writing() as connection:
        yield connection
    with pytest.raises(LedgerCorrupt), database.reading() as connection:
        log.verify_log(connection, PublicKeys.of([(key.pem, None)]), earlier)


class TestTheDatabase:
    def test_untouched(self, database, key):
        filled(database, key)
        with database.reading() as connection:
            assert log.verify_log(connection, PublicKeys.of([(key.pem, None)]), log.checkpoint(connection)) == 9

    def test_an_event_altered(self, database, key):
        filled(database, key)
        with noticed(database, key) as connection:
            entry = connection.execute(sa.select(events.c.entry).where(events.c.seq == 4)).scalar_one()
            forged = entry.replace('"number":3', '"number":7')
            connection.execute(sa.update(events).where(events.c.seq == 4).values(entry=forged))

    def test_an_event_altered_with_its_leaf(self, database, key):
        filled(database, key)
        with noticed(database, key) as connection:
            entry = connection.execute(sa.select(events.c.entry).where(events.c.seq == 4)).scalar_one()
            forged = entry.replace('"number":3', '"number":7')
            leaf = InmemoryTree().hash_buff(forged.encode())
            connection.execute(sa.update(events).where(events.c.seq == 4).values(entry=forged, leaf=leaf))

    def test_an_event_dropped(self, database, key):
        filled(database, key)
        with noticed(database, key) as connection:
            connection.execute(sa.delete(events).where(events.c.seq == 5))

    def test_the_end_dropped(self, database, key):
        filled(database, key)
        with noticed(database, key) as connection:
            connection.execute(sa.delete(events).where(events.c.seq == 9))

    def test_the_end_dropped_with_its_checkpoint(self, database, key):
        filled(database, key)
        with database.reading() as connection:
            kept = log.checkpoint(connection)
        with noticed(database, key, kept) as connection:
            connection.execute(sa.delete(events).where(events.c.seq == 9))
            connection.execute(sa.delete(checkpoints))

    def test_two_events_exchanged(self, database, key):
        filled(database, key)
        with noticed(database, key) as connection:
            rows = {row.seq: row for row in connection.execute(sa.select(events).where(events.c.seq.in_((3, 4))))}
            for here, there in ((3, 4), (4, 3)):
                values = {"entry": rows[there].entry, "leaf": rows[there].leaf}
                connection.execute(sa.update(events).where(events.c.seq == here).values(**values))

    def test_a_checkpoint_by_another_key(self, database, key, tmp_path):
        filled(database, key)
        with noticed(database, key) as connection:
            log.append(connection, EventKind.CLOCK_CONFIRMED, [{}])
            log.seal(connection, SigningKey.create(tmp_path))


def test_the_log_only_grows(database, key):
    filled(database, key)
    with database.reading() as connection:
        earlier = log.checkpoint(connection)
    with database.writing() as connection:
        log.append(connection, EventKind.CLOCK_CONFIRMED, [{"number": i} for i in range(20)])
        later = log.seal(connection, key)
        proof = log.prove_consistency(connection, 9, 29)
        trusted = PublicKeys.of(keys(connection))
    verify_continues(earlier, later, proof, trusted)
    path = proof["path"]
    assert isinstance(path, list)
    with pytest.raises(SignatureInvalid, match="does not begin with"):
        verify_continues(earlier, later, {**proof, "path": path[::-1]}, trusted)


def test_events_of_a_transaction_that_fails_never_were(database, key):
    filled(database, key)

    def failing() -> None:
        with database.writing() as connection:
            log.append(connection, EventKind.CLOCK_CONFIRMED, [{"number": 100}])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    with database.reading() as connection:
        assert log.verify_log(connection, PublicKeys.of([(key.pem, None)]), None) == 9
