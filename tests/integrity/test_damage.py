"""Bits flipped in any file, entries edited in any table: what changes what is said or done is found, or refused in use."""

import random
from collections import Counter
from functools import cache

import pytest
import sqlalchemy as sa

from expunge.evidence.events import EventKind
from expunge.ledger import batches, log, tokens
from expunge.ledger.batches import BatchKind
from expunge.ledger.tables import metadata
from expunge.workspace import Workspace
from expunge.workspace.doctor import EDITED
from tests.conftest import SOAK, examples
from tests.integrity.damage import EARLIER, Kept, flip, flips, kind_of, operated, prepare, problems, verdict
from tests.integrity.edits import ALEMBIC, EDITS, HELD, Edit, apply

FLIPS = 500 if SOAK > 1 else examples(25)


class Patient:
    """A workspace to be damaged again and again."""

    def __init__(self, folder):
        self.path, self.earlier = prepare(folder), folder / EARLIER
        self.kept = Kept(self.path)
        self.undamaged = cache(self._undamaged)

    def _undamaged(self):
        self.kept.restore()
        return operated(self.path)

    def verdict(self, before=frozenset()):
        return verdict(self.path, before, self.undamaged)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return Patient(tmp_path_factory.mktemp("patient"))


@pytest.fixture(autouse=True)
def healed(request):
    yield
    if "patient" in request.fixturenames:
        request.getfixturevalue("patient").kept.restore()


def table_of(counts: Counter) -> list[str]:
    """Figures, one line for each kind of file or table."""
    verdicts = sorted({verdict for _kind, verdict in counts})
    kinds = sorted({kind for kind, _verdict in counts})
    lines = [f"{'':32}" + "".join(f"{verdict:>10}" for verdict in verdicts)]
    lines += [f"{kind:32}" + "".join(f"{counts[kind, verdict]:>10}" for verdict in verdicts) for kind in kinds]
    return [*lines, f"{'all':32}" + "".join(f"{sum(counts[kind, v] for kind in kinds):>10}" for v in verdicts)]


def test_the_undamaged_workspace_is_found_sound_and_does_the_same_twice(patient):
    assert list(problems(patient.path)) == []
    assert patient.verdict() == ("harmless", "")
    assert all(patient.undamaged()[name] for name in ("tokens", "webhooks", "deliveries", "forgotten by", "rows"))


def test_random_bits(patient, record_property):
    drawn, counts, unnoticed = flips(patient.kept.files, random.Random(0)), Counter[tuple[str, str]](), list[str]()
    for _, (name, offset, bit) in zip(range(FLIPS), drawn, strict=False):
        patient.kept.restore()
        flip(patient.path, name, offset, bit)
        try:
            found, said = patient.verdict()
        except Exception as error:
            found, said = "UNNOTICED", repr(error)
        if found == "UNNOTICED":
            content = patient.kept.files[name]
            around, byte = content[max(0, offset - 40) : offset + 40], content[offset]
            unnoticed.append(f"{name}, byte {offset}: {byte:#x} to {byte ^ 1 << bit:#x} in {around!r}: {said}")
        counts[kind_of(name), found] += 1
    record_property("figures", "\n".join([f"{FLIPS} bits flipped, by file", *table_of(counts)]))
    assert not unnoticed, "\n".join(unnoticed)
    assert counts["rows", "found"] and counts["ledger.sqlite", "found"] and counts["model state", "found"]


def test_a_column_that_the_transaction_log_renames(patient):
    first = min(name for name in patient.kept.files if "_delta_log" in name)
    content = (patient.path / first).read_bytes()
    (patient.path / first).write_bytes(content.replace(b"visits", b"viqits"))
    found, said = patient.verdict()
    assert found == "found" or (found == "refused" and "does not name the columns of its files" in said)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("workspace.toml", "refit_requests = 200", "refit_requests = 270"), ("schema.toml", "high = 40.0", "high = 48.0")],
)
def test_a_digit_of_what_people_may_edit(name, before, after, patient):
    content = (patient.path / name).read_text()
    assert before in content
    (patient.path / name).write_text(content.replace(before, after))
    assert patient.verdict() == ("found", EDITED)


def test_what_people_edited_is_noted_once_it_is_used(patient):
    found = Workspace.open(patient.path)
    settings = found.storage.configuration_path.read_text()
    found.storage.configuration_path.write_text(settings.replace("refit_requests = 200", "refit_requests = 270"))
    with found.storage.schema_path.open("a") as file:
        file.write("# read and found good\n")
    assert set(problems(patient.path)) == {EDITED}
    found = Workspace.open(patient.path)
    found.process()
    with found.storage.database.reading() as connection:
        assert [event.texts("settings") for event in log.of_kind(connection, EventKind.SETTINGS_CHANGED)] == [
            ("refit_requests",)
        ]
    found.storage.database.close()
    assert not set(problems(patient.path))


def test_every_edit(patient, record_property):
    assert len({str(edit) for edit in EDITS}) == len(EDITS) >= 40
    assert {edit.table for edit in (*EDITS, *HELD)} == {*metadata.tables, ALEMBIC[0].table}
    chosen: list[tuple[Edit, random.Random | None]] = [(edit, None) for edit in EDITS]
    rng = random.Random(0)
    if SOAK > 1:
        chosen += [(rng.choice(EDITS), rng) for _ in range(200)]
    counts, unnoticed = Counter[tuple[str, str]](), list[str]()
    for edit, at in chosen:
        patient.kept.restore()
        statement = apply(edit, patient.path / "ledger.sqlite", patient.earlier, at)
        try:
            found, said = patient.verdict()
        except Exception as error:
            found, said = "UNNOTICED", repr(error)
        if found not in ("found", "refused"):
            unnoticed.append(f"{statement}: {said}")
        counts[edit.table, found] += 1
    record_property("figures", "\n".join([f"{len(chosen)} edits of the ledger, by table", *table_of(counts)]))
    assert not unnoticed, "\n".join(unnoticed)


def test_every_edit_of_what_waits_for_a_batch_to_end(patient):
    found = Workspace.open(patient.path)
    with found.storage.database.writing() as connection:
        _seq, at = log.append(connection, EventKind.BATCH_BEGUN, [{"batch_kind": "refit", "requests": 0}])
        batches.begin(connection, BatchKind.REFIT, [], at)
        tokens.issue(connection, "somebody", "auditor")
    found.storage.database.close()
    interrupted = Kept(patient.path)
    before = set(problems(patient.path))
    assert before == {"no batch is unfinished"}
    for edit in HELD:
        interrupted.restore()
        apply(edit, patient.path / "ledger.sqlite", patient.earlier)
        assert patient.verdict(before)[0] in ("found", "refused"), edit


def test_every_kind_of_edit_on_postgresql(tmp_path, postgresql, record_property):
    url = sa.make_url(postgresql.new_database())
    path = prepare(tmp_path, url.render_as_string(hide_password=False))
    kept, counts, unnoticed = Kept(path), Counter[tuple[str, str]](), list[str]()
    able = [edit for edit in EDITS if not edit.is_of_an_earlier_day]
    rng = random.Random(0)
    server = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    for number, edit in enumerate(able if SOAK > 1 else rng.sample(able, 12)):
        copy = url.set(database=f"{url.database}_{number}")
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {copy.database} TEMPLATE {url.database}")
        kept.restore()
        settings = path / "workspace.toml"
        settings.write_text(settings.read_text().replace(str(url.database), str(copy.database)))
        try:
            with sa.create_engine(copy, poolclass=sa.NullPool).begin() as connection:
                row = connection.exec_driver_sql(edit.choice.replace("%", "%%")).first()
                assert row is not None, edit
                assert connection.exec_driver_sql(edit.of(row).replace("%", "%%")).rowcount == 1, edit
        except sa.exc.IntegrityError:
            counts[edit.table, "refused"] += 1
            continue
        found: str
        try:
            found, said = verdict(path, set(), dict)
        except Exception as error:
            found, said = "UNNOTICED", repr(error)
        if found not in ("found", "refused"):
            unnoticed.append(f"{edit}: {said}")
        counts[edit.table, found] += 1
    record_property("figures", "\n".join([f"{sum(counts.values())} edits on PostgreSQL, by table", *table_of(counts)]))
    assert not unnoticed, "\n".join(unnoticed)
