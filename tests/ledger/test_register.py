"""The register in the database: every list and count goes by an index, whatever the number of requests; upgrades keep all."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from expunge.ledger import register, requests, sealing
from expunge.ledger.database import Database
from expunge.ledger.register import Filter, Matter, Sort
from expunge.ledger.requests import Channel, Request, RequestKind, RequestState
from expunge.ledger.tables import requests as table
from expunge.ledger.witness import Witness
from tests.ledger.test_database import KEY, SCRIPTS


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/l.sqlite"
    return request.getfixturevalue("postgresql").new_database()


def made(number, **more):
    at = f"2026-05-01T10:00:00.{number:06d}+00:00"
    name = f"r-{number:020d}"
    values = {"kind": RequestKind.FORGET, "actor": "a", "state": RequestState.CLOSED, "received": at, "received_on": at[:10]}
    values |= {"deadline": "2026-06-01T23:59:59+00:00", "key": name, "closed": at}
    return Request(id=name, **{**values, **more})


SCANNED = [
    (Filter(), Sort.NEWEST),
    (Filter(), Sort.DUE),
    (Filter(), Sort.CLOSED),
    (Filter(state=RequestState.CLOSED), Sort.NEWEST),
    (Filter(matter=Matter.OVERDUE), Sort.DUE),
    (Filter(matter=Matter.HELD), Sort.NEWEST),
    (Filter(channel=Channel.LETTER), Sort.NEWEST),
]


@pytest.mark.parametrize(("wanted", "sort"), SCANNED, ids=str)
def test_a_page_is_found_by_an_index(wanted, sort, tmp_path):
    database = Database(f"sqlite:///{tmp_path}/l.sqlite", KEY)
    database.migrate()
    asked = []
    with database.writing() as connection:
        requests.insert(connection, [made(number) for number in range(200)])
        sa.event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
        register.listed(connection, wanted, sort, 50)
        ((statement, values),) = [each for each in asked if "FROM requests" in each[0]]
        plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))
    assert "USING INDEX" in plan and "SCAN requests " not in plan.replace("SCAN requests USING INDEX", "")
    if wanted.matter is None:
        assert "TEMP B-TREE" not in plan  # it is not sorted either
    database.close()


def test_an_older_request_keeps_its_deadline_and_gets_a_day_of_receipt(url, tmp_path):
    config, old, engine = Config(), sa.MetaData(), sa.create_engine(url)
    config.set_main_option("script_location", SCRIPTS.dir)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        old.reflect(connection)
        account = sealing.Sealing(KEY, sealing.EMPTY)
        connection.execution_options(sealing=account)
        row = {"id": "r-1", "key": "k", "kind": "forget", "tombstone": "t", "commitment": "c", "actor": "a", "attempts": 0}
        row |= {"state": "accepted", "received": "2026-05-01T10:20:30+00:00", "deadline": "2026-05-31T10:00:00+00:00"}
        sealing.insert(connection, old.tables["requests"], [{**row, "subject": "s"}])
        account.write(connection)
    engine.dispose()
    database = Database(url, KEY, Witness(tmp_path / "ledger.witness"))
    database.migrate(is_new=False)
    with database.reading() as connection:
        sealing.verify(connection)
        found = requests.by_id(connection, "r-1")
        assert (found.received_on, found.deadline) == ("2026-05-01", "2026-05-31T10:00:00+00:00")
        assert requests.waiting(connection) == [found] and not found.is_held(datetime.now(UTC).isoformat())
    database.close()


def test_what_was_altered_is_not_listed(url):
    database = Database(url, KEY)
    database.migrate()
    with database.writing() as connection:
        requests.insert(connection, [made(1)])
    with database.writing() as connection:
        connection.execute(sa.update(table).values(received_on="2026-05-02"))
    with database.reading() as connection, pytest.raises(Exception, match="was altered"):
        register.listed(connection, Filter(), Sort.NEWEST, 10)
    database.close()


def test_somebody_who_withdraws_while_a_batch_begins_is_not_worked(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/l.sqlite", KEY)
    database.migrate()
    with database.writing() as connection:
        waiting = made(1, state=RequestState.ACCEPTED, closed=None, subject="s")
        requests.insert(connection, [waiting, made(2, state=RequestState.CANCELLED)])
        assert requests.still_waiting(connection, ["r-none", waiting.id, made(2).id]) == {waiting.id}
    database.close()
