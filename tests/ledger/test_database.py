"""The database under the ledger, on SQLite and on PostgreSQL."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import expunge.ledger.migrations
from expunge.errors import WorkspaceBusy, WorkspaceInvalid
from expunge.ledger import database as module
from expunge.ledger import sealing
from expunge.ledger.database import HEAD, Database
from expunge.ledger.properties import set_property
from expunge.ledger.sealing import SealKey
from expunge.ledger.tables import metadata, properties

KEY = SealKey(bytes(32))
SCRIPTS = ScriptDirectory(Path(expunge.ledger.migrations.__file__).parent)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    url = (
        f"sqlite:///{tmp_path}/l.sqlite" if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()
    )
    made = Database(url, KEY)
    made.migrate()
    yield made
    made.close()


def test_the_migrations_make_the_tables(database):
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.migrate()  # once more changes nothing


def test_the_newest_migration_is_the_one_named():
    assert SCRIPTS.get_heads() == [HEAD]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("revision", [script.revision for script in SCRIPTS.walk_revisions()])
def test_every_old_revision_is_upgraded(kind, revision, tmp_path, request):
    url = f"sqlite:///{tmp_path}/l.sqlite" if kind == "sqlite" else request.getfixturevalue("postgresql").new_database()
    config = Config()
    config.set_main_option("script_location", SCRIPTS.dir)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    upgraded = Database(url, KEY)
    upgraded.migrate(is_new=False)
    with upgraded.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD
    upgraded.close()


def test_a_ledger_from_the_future_is_refused(database):
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(WorkspaceInvalid, match="install the newer expunge"):
        database.migrate()


def test_a_reader_sees_one_moment(database):
    with database.reading() as connection:
        assert connection.execute(sa.select(properties.c.name)).all() == []
        with database.writing() as writer:
            set_property(writer, "x", "1")
        assert connection.execute(sa.select(properties.c.name)).all() == []
        sealing.verify(connection)


def test_sqlite_is_set_up_for_keeping_and_for_forgetting(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/l.sqlite", KEY)
    database.migrate()
    with database.reading() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "secure_delete")}
        listed = connection.exec_driver_sql("PRAGMA table_list").mappings().all()
        strict = {row["name"]: row["strict"] for row in listed}
    assert found == {"journal_mode": "wal", "secure_delete": 1}
    assert all(strict[name] for name in metadata.tables)
    database.close()


def test_what_is_deleted_is_gone_from_the_files(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/l.sqlite", KEY)
    database.migrate()
    with database.writing() as connection:
        set_property(connection, "x", "canary-" * 500)
    with database.writing() as connection:
        sealing.delete(connection, properties, properties.c.name == "x")
    database.wipe_free_space()
    assert all(b"canary-" not in path.read_bytes() for path in tmp_path.iterdir())
    database.close()


def test_a_transaction_that_raises_changes_nothing(database):
    def failing() -> None:
        with database.writing() as connection:
            set_property(connection, "x", "1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    with database.reading() as connection:
        assert connection.execute(sa.select(properties)).all() == []


def test_a_writer_that_takes_too_long(database, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 1)
    url = database.engine.url.render_as_string(hide_password=False)
    other = Database(url, KEY)
    with database.writing(), pytest.raises(WorkspaceBusy, match="try again"), other.writing():
        pass
    other.close()


@pytest.mark.parametrize("url", ["nonsense", "postgresql+psycopg://nobody@127.0.0.1:1/none"])
def test_a_database_that_is_not_there(url):
    with pytest.raises(WorkspaceInvalid, match=r"cannot be (read|used)"):
        Database(url, KEY).migrate()
