"""The database under the ledger, on SQLite and on PostgreSQL."""

import os
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import expunge.ledger.migrations
from expunge.errors import LedgerCorrupt, WorkspaceBusy, WorkspaceInvalid
from expunge.evidence.statements import canonical
from expunge.ledger import database as module
from expunge.ledger import hooks, notices, resealing, sealing
from expunge.ledger.database import HEAD, Database
from expunge.ledger.properties import set_property
from expunge.ledger.sealing import SealKey
from expunge.ledger.tables import metadata, properties, webhooks
from expunge.ledger.witness import Witness

KEY = SealKey(bytes(32))
SCRIPTS = ScriptDirectory(Path(expunge.ledger.migrations.__file__).parent)


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


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_deliveries_of_before_say_of_their_release_what_is_said_now(kind, tmp_path, request):
    url = f"sqlite:///{tmp_path}/l.sqlite" if kind == "sqlite" else request.getfixturevalue("postgresql").new_database()
    config, old, engine = Config(), sa.MetaData(), sa.create_engine(url)
    config.set_main_option("script_location", SCRIPTS.dir)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        old.reflect(connection)
        account = sealing.Sealing(KEY, sealing.EMPTY)
        connection.execution_options(sealing=account)
        made: dict[str, dict[str, object]] = {
            "batches": {"id": 1, "kind": "fit", "state": "closed", "states": "[]", "started": "t"},
            "models": {"name": "churn", "specification": "{}", "salt": "s", "created": "t"},
            "releases": {
                "id": 5,
                "model": "churn",
                "number": 2,
                "batch": 1,
                "event": 1,
                "envelope": "",
                "evidence": "",
                "at": "t",
            },
            "webhooks": {"id": "w-1", "url": "https://a.example/", "secret": "s", "created": "t"},
            "deliveries": {
                "id": 7,
                "webhook": "w-1",
                "release": 5,
                "attempts": 3,
                "due": "2026",
                "outcome": "failed: status 500",
            },
        }
        for name, row in made.items():
            sealing.insert(connection, old.tables[name], [row])
        account.write(connection)
    engine.dispose()
    upgraded = Database(url, KEY, Witness(tmp_path / "ledger.witness"))
    upgraded.migrate(is_new=False)
    with upgraded.reading() as connection:
        sealing.verify(connection)
        (found,) = notices.due(connection, "2027", [])
        assert (found.id, found.webhook, found.attempts, found.url) == (7, "w-1", 3, "https://a.example/")
        said = {"event": "release.certified", "model": "churn", "release": 2, "certificate": 5, "at": "t"}
        assert found.body == canonical(said)
    upgraded.close()


def test_a_ledger_from_the_future_is_refused(database):
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(WorkspaceInvalid, match="install a newer expunge"):
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


NEXT = f"{int(HEAD) + 1:04}"
FAKE = f'''"""A column for what a webhook is called."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{NEXT}", "{HEAD}"


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("label", sa.Text(), nullable=False, server_default="none"))
    op.execute("UPDATE webhooks SET label = 'of ' || url")
'''


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """The next version of this package, in which webhooks have another column; its tables."""
    folder = tmp_path / "migrations"
    shutil.copytree(SCRIPTS.dir, folder)
    (folder / "versions" / f"{NEXT}_fake.py").write_text(FAKE)
    tables = sa.MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(tables)
    tables.tables["webhooks"].append_column(sa.Column("label", sa.Text, nullable=False))

    def begin() -> sa.Table:
        monkeypatch.setattr(module, "HEAD", NEXT)
        monkeypatch.setattr(module, "MIGRATIONS", folder)
        monkeypatch.setattr(resealing, "metadata", tables)
        return tables.tables["webhooks"]

    return begin, tables


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
class TestANewColumnInASealedTable:
    @pytest.fixture
    def old(self, kind, tmp_path, request):
        url = f"sqlite:///{tmp_path}/l.sqlite" if kind == "sqlite" else request.getfixturevalue("postgresql").new_database()
        made = Database(url, KEY, Witness(tmp_path / "ledger.witness"))
        made.migrate()
        with made.writing() as connection:
            set_property(connection, "x", "1")
            for name in ("a", "b"):
                hooks.add(connection, f"https://{name}.example/", "2026-05-01T00:00:00+00:00")
        yield made
        made.close()

    def test_is_sealed_with_all_rows_and_a_copy_of_what_was_is_kept(self, old, newer, tmp_path):
        begin, tables = newer
        with old.reading() as connection:
            before, rows = sealing.serial(connection), [tuple(row) for row in connection.execute(sa.select(webhooks))]
        hooked = begin()
        old.migrate(is_new=False)
        old.require_newest()  # the witness knows of it
        with old.reading() as connection:
            sealing.verify(connection, tables)
            found = sealing.rows(connection, sa.select(hooked).order_by(hooked.c.url), hooked)
            assert [row.label for row in found] == ["of https://a.example/", "of https://b.example/"]
            assert sealing.serial(connection) == before + 1
        copy = tmp_path / module.COPY
        assert old.copy_path == copy and copy.stat().st_mode & 0o777 == 0o600
        kept = Database(f"sqlite:///{copy}", KEY)
        with kept.reading() as connection:
            sealing.verify(connection)  # as it was, to the last row
            assert sorted(tuple(row) for row in connection.execute(sa.select(webhooks))) == sorted(rows)
            assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        kept.close()
        old.migrate(is_new=False)  # once more changes nothing
        with old.engine.begin() as connection:
            connection.execute(sa.update(hooked).values(label="other"))
        with old.reading() as connection, pytest.raises(LedgerCorrupt, match="was altered"):
            sealing.rows(connection, sa.select(hooked), hooked)

    @pytest.mark.parametrize("how", ["altered", "dropped"])
    def test_is_not_made_in_a_ledger_that_was_altered(self, how, old, newer):
        begin, _tables = newer
        with old.engine.begin() as connection:
            mine = webhooks.c.url == "https://a.example/"
            changed = sa.update(webhooks).where(mine).values(url="https://c.example/")
            connection.execute(changed if how == "altered" else sa.delete(webhooks).where(mine))
        begin()
        with pytest.raises(LedgerCorrupt, match="altered" if how == "altered" else "dropped, added, or replaced"):
            old.migrate(is_new=False)
        with old.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD
            assert "label" not in [column["name"] for column in sa.inspect(connection).get_columns("webhooks")]
        assert not old.copy_path.exists()

    def test_the_copy_is_gone_when_what_it_holds_is_erased(self, old, newer):
        begin, _tables = newer
        begin()
        old.copy_path.write_text("what an attempt that was interrupted left")
        old.migrate(is_new=False)
        with old.writing() as connection:
            set_property(connection, "x", "2")
        assert old.copy_path.exists()

        def failing() -> None:
            with old.erasing():
                raise RuntimeError

        with pytest.raises(RuntimeError):
            failing()
        assert old.copy_path.exists()
        with old.erasing() as connection:
            sealing.delete(connection, properties, properties.c.name == "x")
        assert not old.copy_path.exists()
        old.require_newest()

    @pytest.mark.parametrize("moment", ["half copied", "copied", "announced", "committed"])
    def test_is_made_in_the_end_whenever_the_process_is_killed(self, moment, old, newer):
        begin, tables = newer
        hooked = begin()
        old.close()  # no connection goes to the child
        child = os.fork()
        if not child:
            patch, said, say = pytest.MonkeyPatch(), list[object](), Witness._say
            if moment == "half copied":
                patch.setattr(module, "_copy_rows", lambda *_: os._exit(9))
            elif moment == "copied":
                patch.setattr(resealing, "_seal", lambda *_: os._exit(9))

            def saying(witness, *states):
                if moment == "committed" and said:
                    os._exit(9)
                say(witness, *states)
                if moment == "announced":
                    os._exit(9)
                said.append(states)

            patch.setattr(Witness, "_say", saying)
            try:
                old.migrate(is_new=False)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        old.migrate(is_new=False)
        old.require_newest()
        with old.reading() as connection:
            sealing.verify(connection, tables)
            assert len(sealing.rows(connection, sa.select(hooked), hooked)) == 2
        kept = Database(f"sqlite:///{old.copy_path}", KEY)
        with kept.reading() as connection:
            sealing.verify(connection)
        kept.close()
        assert not list(old.copy_path.parent.glob(f"{module.COPY}-journal"))
