"""Proofs from blocks that are kept in memory are those made from every event, and whatever is altered is noticed as before."""

import json
from contextlib import suppress

import pytest
import sqlalchemy as sa
from pymerkle import InmemoryTree

from expunge.errors import LedgerCorrupt, SignatureInvalid
from expunge.evidence.events import EventKind
from expunge.evidence.heads import Head, signed_head
from expunge.evidence.proofs import require_included
from expunge.evidence.signing import PublicKeys
from expunge.ledger import log, tree
from expunge.ledger.tables import events

COUNT = 77


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(tree, "BLOCK", 8)
    monkeypatch.setattr(tree, "READ", 2)


def grown(database, key, count):
    with database.writing() as connection:
        log.append(connection, EventKind.CLOCK_CONFIRMED, [{"number": i} for i in range(count)])
        log.seal(connection, key)


def require_proven(connection, key, seq):
    """The proof holds under the signed head."""
    proven = log.prove_inclusion(connection, seq)
    head = signed_head(proven.checkpoint, PublicKeys.of([(key.pem, None)]))
    assert require_included(proven.event, proven.proof, head.root, head.size) == seq


def test_proofs_are_those_made_from_every_event(database, key):
    whole = InmemoryTree()
    for size in (1, 7, 8, 9, 24, 31, COUNT):
        grown(database, key, size - whole.get_size())
        with database.reading() as connection:
            new = sa.select(events.c.entry).where(events.c.seq > whole.get_size()).order_by(events.c.seq)
            whole.append_entries(entry.encode() for entry in connection.execute(new).scalars())
            for seq in range(1, size + 1):
                assert log.prove_inclusion(connection, seq).proof == whole.prove_inclusion(seq).serialize()
                assert log.prove_consistency(connection, seq, size) == whole.prove_consistency(seq, size).serialize()
            assert tree.Tree(connection).get_root() == whole.get_root()


def test_a_proof_reads_few_events_once_the_blocks_are_kept(database, key):
    grown(database, key, COUNT)
    read = []
    with database.reading() as connection:
        require_proven(connection, key, 5)
        sa.event.listen(database.engine, "before_cursor_execute", lambda *about: read.append(about[2:4]))
        require_proven(connection, key, 70)
    leaves = [given for statement, given in read if "events.leaf" in statement]
    assert leaves and all(max(given.values() if isinstance(given, dict) else given) > 64 for given in leaves)


def test_an_altered_event_is_noticed_where_it_is_shown_and_the_others_are_proven(database, key):
    grown(database, key, COUNT)
    with database.reading() as connection:
        require_proven(connection, key, 5)
    with database.engine.begin() as connection:
        entry = connection.execute(sa.select(events.c.entry).where(events.c.seq == 5)).scalar_one()
        forged = json.dumps({**json.loads(entry), "number": 99})
        connection.execute(sa.update(events).where(events.c.seq == 5).values(entry=forged))
    with database.reading() as connection:
        require_proven(connection, key, 70)
        with pytest.raises(SignatureInvalid):
            require_proven(connection, key, 5)
        with pytest.raises(LedgerCorrupt):
            log.verify_log(connection, PublicKeys.of([(key.pem, None)]), None)


def test_a_log_that_is_rewritten_while_its_blocks_are_kept_is_compared_as_it_is(database, key):
    grown(database, key, COUNT)
    with database.reading() as connection:
        require_proven(connection, key, 5)
        earlier = Head(60, tree.Tree(connection).get_root(60).hex())
        assert "since" in json.loads(log.checkpoint_file(connection, earlier))
    with database.engine.begin() as connection:
        connection.execute(sa.update(events).where(events.c.seq == 5).values(leaf=bytes(32)))
    with database.reading() as connection, pytest.raises(LedgerCorrupt, match="split view"):
        log.checkpoint_file(connection, earlier)


def test_what_a_transaction_took_back_is_not_kept(database, key):
    grown(database, key, 3)
    with suppress(ZeroDivisionError), database.writing() as connection:
        log.append(connection, EventKind.CLOCK_CONFIRMED, [{"number": "taken back"}] * 20)
        log.seal(connection, key)
        require_proven(connection, key, 20)
        raise ZeroDivisionError
    grown(database, key, 20)
    with database.reading() as connection:
        require_proven(connection, key, 20)


def test_events_that_are_missing_are_said_to_be(database, key):
    grown(database, key, COUNT)
    with database.engine.begin() as connection:
        connection.execute(sa.delete(events).where(events.c.seq > 60))
    with database.reading() as connection, pytest.raises(LedgerCorrupt, match="fewer than the 77 events"):
        log.prove_inclusion(connection, 5)
    with database.engine.begin() as connection:
        connection.execute(sa.delete(events).where(events.c.seq == 30))
        connection.execute(sa.insert(events), [{"seq": 77, "kind": "k", "entry": "{}", "leaf": bytes(32)}])
    with database.reading() as connection, pytest.raises(LedgerCorrupt, match="an event of the log is missing"):
        log.prove_inclusion(connection, 5)
