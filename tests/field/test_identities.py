"""Nobody mixed up: the same id is the same person in every door, and different ids are different people."""

import csv
import io
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.files import Change, DataFile
from expunge.data.numbering import numbered
from expunge.data.own_columns import SUBJECT
from expunge.data.pseudonyms import Identification, SubjectKey
from expunge.data.reading import read_batches
from expunge.data.table import SubjectTable
from expunge.errors import InvalidRows, RequestRefused
from expunge.ledger import tokens
from expunge.service.app import create_app
from expunge.workspace import Workspace
from tests.conftest import SOAK
from tests.data.test_identities import DIFFERENT

SCHEMA = '[columns."value"]\nkind = "number"\nlow = 0\nhigh = 1000\n'


def spoilt(text: str) -> str:
    """The same id, as another program may write it."""
    return f"\N{NO-BREAK SPACE}{unicodedata.normalize('NFD', text)}\u200b"


def written(folder: Path, form: str, who: list[str], **more: list) -> tuple[str, str | None]:
    """Rows in a file or database of some form; where it is, and the query."""
    columns = {"who": who, **more}
    if form == "csv":
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
        return str(folder / "rows.csv"), None
    if form == "sql":
        url = f"sqlite:///{folder}/rows.sqlite"
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE people (who TEXT, value INTEGER)"))
            rows = [{"who": name, "value": value} for name, value in zip(who, columns["value"], strict=True)]
            connection.execute(sa.text("INSERT INTO people VALUES (:who, :value)"), rows)
        engine.dispose()
        return url, "SELECT * FROM people"
    table = pa.table(columns)
    if form == "dictionary":
        table = table.set_column(0, "who", table["who"].dictionary_encode())
    pq.write_table(table, folder / "rows.parquet")
    return str(folder / "rows.parquet"), None


def made(
    folder: Path, form: str, who: list[str], aliases: tuple[str, ...] = (), ignore_case: bool = False, **more: list
) -> Workspace:
    """A workspace of these people, each row with its number as the value."""
    data, query = written(folder, form, who, **more, value=list(range(len(who))))
    (folder / "schema.toml").write_text(SCHEMA)
    how: dict[str, Any] = {"aliases": aliases, "ignore_case": ignore_case, "query": query, "schema": folder / "schema.toml"}
    return Workspace.create(folder / "ws", data, "who", **how)


def owned(found: Workspace) -> dict[str, list[int]]:
    """By pseudonym, the values in the table."""
    rows = found.storage.table.of_subjects(found.storage.table.subjects().to_pylist())
    by: dict[str, list[int]] = {}
    for tag, value in zip(rows[SUBJECT].to_pylist(), rows["value"].to_pylist(), strict=True):
        by.setdefault(tag, []).append(value)
    return by


def run(*arguments: object, given: str | None = None, code: int = 0):
    """What a command answers."""
    name, *more = map(str, arguments)
    result = CliRunner().invoke(app, [name, "--json", *more], input=given)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("form", ["csv", "parquet", "dictionary", "sql"])
def test_different_ids_are_different_people_in_every_source(tmp_path, form):
    found = made(tmp_path, form, [*DIFFERENT, *map(spoilt, DIFFERENT)])
    key, n = found.storage.subject_key, len(DIFFERENT)
    assert owned(found) == {key.pseudonym(text): [i, n + i] for i, text in enumerate(DIFFERENT)}


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint8(), pa.int16()])
def test_whole_numbers_are_their_digits(tmp_path, kind):
    pq.write_table(pa.table({"who": pa.array([7, 31, 120], kind), "value": [0, 1, 2]}), tmp_path / "rows.parquet")
    (tmp_path / "schema.toml").write_text(SCHEMA)
    found = Workspace.create(tmp_path / "ws", str(tmp_path / "rows.parquet"), "who", schema=tmp_path / "schema.toml")
    assert [answer.rows for answer in found.forget(["7", "31", "120", "007"])] == [1, 1, 1, 0]


def test_ids_that_may_have_lost_digits_are_refused_by_column(tmp_path):
    pq.write_table(pa.table({"number": [7.0, 8.0], "value": [0, 1]}), tmp_path / "rows.parquet")
    with pytest.raises(InvalidRows, match=r"column 'number' holds double .* save the column as text"):
        Workspace.create(tmp_path / "ws", str(tmp_path / "rows.parquet"), "number")
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("REAL", 7.0, "double"),
        ("NUMERIC(9, 2)", 7.5, "decimal"),
        ("TIMESTAMP", "2024-02-29 10:00", "timestamp"),
        ("DATE", "2024-02-29", "date"),
    ],
)
def test_such_ids_of_a_query_are_refused_too_when_rows_are_added(column, value, kind, tmp_path, postgresql):
    url = postgresql.new_database()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE people (who {column}, value INTEGER)"))
        connection.execute(sa.text("INSERT INTO people VALUES (:who, 1)"), {"who": value})
    engine.dispose()
    found = made(tmp_path, "csv", ["00007", "7"])
    query = ("--query", "SELECT * FROM people")
    for command in (
        ("append", url, *query, "-w", found.storage.path),
        ("init", tmp_path / "other", "--data", url, *query, "--subject", "who"),
    ):
        said = run(*command, code=1)["message"]
        assert f"column 'who' holds {kind}" in said and "save the column as text" in said
    assert found.storage.table.count() == 2 and not (tmp_path / "other").exists()


class Desk:
    """Every door by which an id reaches the desk; each gives the request for each of some ids."""

    def __init__(self, folder: Path, found: Workspace, client: TestClient, token: str) -> None:
        self.folder, self.found, self.client = folder, found, client
        self.headers = {"Authorization": f"Bearer {token}"}
        client.post("/login", data={"token": token})
        self.csrf = re.search('name="csrf" value="([^"]+)"', client.get("/requests/new").text)[1]

    def library(self, ids):
        return [answer.request for answer in self.found.forget(ids)]

    def arguments(self, ids):
        given = ["forget", "-w", self.found.storage.path, "--receipts", self.folder / "receipts", "--", *ids]
        return [line["request"] for line in run(*given)]

    def _listed(self, *more, given=None):
        command = ["forget", *more, "-w", self.found.storage.path, "--receipts", self.folder / "receipts"]
        return [line["request"] for line in run(*command, given=given)]

    def file(self, ids):
        (self.folder / "ids.txt").write_text("\n".join(ids), encoding="utf-8")
        return self._listed("--file", self.folder / "ids.txt", "--no-heading")

    def standard_input(self, ids):
        return self._listed("--file", "-", "--no-heading", given="\n".join(ids))

    def table(self, ids):
        (self.folder / "ids.csv").write_text(self._csv(ids), encoding="utf-8")
        return self._listed("--file", self.folder / "ids.csv")

    def api(self, ids):
        return [self._post("/v1/requests", {"subject": text})["request"] for text in ids]

    def api_in_bulk(self, ids):
        return [answer["request"] for answer in self._post("/v1/requests/bulk", {"subjects": ids})]

    def page(self, ids):
        return self._requested({"subject": "\r\n".join(ids)})

    def upload(self, ids):
        return self._requested({}, {"upload": ("ids.csv", self._csv(ids).encode(), "text/csv")})

    def _post(self, path, body):
        answer = self.client.post(path, headers=self.headers, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def _requested(self, fields, files=None):
        shown = self.client.post("/requests/preview", data={"csrf": self.csrf, **fields}, files=files)
        assert shown.status_code == 200, shown.text
        name = re.search('name="draft" value="([^"]+)"', shown.text)[1]
        answer = self.client.post("/requests", data={"csrf": self.csrf, "draft": name})
        assert answer.status_code == 201
        return re.findall(r'<a href="/requests/(r-[0-9a-f]+)">', answer.text)

    def _csv(self, ids):
        file = io.StringIO(newline="")
        csv.writer(file).writerows([["who"], *([text] for text in ids)])
        return file.getvalue()


LINES = ("file", "standard_input", "page")
"""Doors in which a line is an id."""
DOORS = ("arguments", "table", "api", "api_in_bulk", "upload", *LINES)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    found = made(folder, "parquet", DIFFERENT)
    with found.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", "operator")
    with TestClient(create_app(found, every=3600.0), follow_redirects=False) as client:
        yield Desk(folder, found, client, token)


@pytest.fixture(scope="module")
def asked(desk):
    """By id, its request."""
    return dict(zip(DIFFERENT, desk.library(DIFFERENT), strict=True))


@pytest.mark.parametrize("door", DOORS)
def test_the_same_person_asks_through_every_door(desk, asked, door):
    ids = [text for text in DIFFERENT if door not in LINES or "\n" not in text]
    assert getattr(desk, door)(list(map(spoilt, ids))) == [asked[text] for text in ids]
    assert len(set(asked.values())) == len(DIFFERENT)


def test_receipts_are_of_one_person_and_of_nobody_else(desk, asked):
    """Made again, and checked offline, by another spelling of the id."""
    for text, other in zip(DIFFERENT[::6], DIFFERENT[1::6], strict=False):
        at = ["-w", desk.found.storage.path, "--receipts", desk.folder / "again"]
        path = run("receipt", asked[text], "--subject", "-", *at, given=spoilt(text))["receipt"]
        key = ["--key", desk.found.storage.public_key_path]
        assert run("verify", path, "--subject", "-", *key, given=spoilt(text) + "\r\n")["problem"] is None
        assert "not for this subject" in run("verify", path, "--subject", "-", *key, given=other, code=4)["problem"]
        with pytest.raises(RequestRefused) as refused:
            desk.found.receipt(asked[text], other)
        assert refused.value.reason == "another-subject"


def test_what_is_no_id_is_refused_and_stops_nobody_else(desk):
    answers = desk.found.forget(["a\0b", "", "nobody-here", "\ud800", "x" * 1001])
    assert [answer.reason for answer in answers] == ["invalid-id", "empty", "unknown-subject", "invalid-id", "invalid-id"]
    got = desk.client.post("/v1/requests", headers=desk.headers, json={"subject": 7})
    assert got.status_code == 422 and "subject" in got.text
    for body in (b'{"subject": "\\ud800"}', b'{"subject": "a\\u0000b"}', b'{"subject": 7.0}', b'{"subject": " "}'):
        answer = desk.client.post("/v1/requests", headers={**desk.headers, "Content-Type": "application/json"}, content=body)
        assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_come_to_the_same_person_and_those_forgotten_stay_out(tmp_path, form):
    found = made(tmp_path, "parquet", DIFFERENT)
    new = tmp_path / "new"
    new.mkdir()
    found.append(written(new, form, [spoilt(text) for text in DIFFERENT], value=[100 + i for i in range(len(DIFFERENT))])[0])
    key = found.storage.subject_key
    assert owned(found) == {key.pseudonym(text): [i, 100 + i] for i, text in enumerate(DIFFERENT)}
    answer, _outcomes = found.rectify(spoilt("00007"), written(new, form, ["00007"], value=[555])[0])
    assert owned(found)[key.pseudonym("00007")] == [555] and answer.rows == 1
    with pytest.raises(InvalidRows, match="rows of somebody else"):
        found.rectify("7", written(new, form, ["00007"], value=[555])[0])
    found.forget(["00007", "12E4", "NA"])
    assert found.process().closed == 3
    for text in ("00007", "12E4", "NA"):
        with pytest.raises(InvalidRows, match="belongs to somebody who was forgotten"):
            found.append(written(new, form, ["b", spoilt(text)], value=[1, 2])[0])
        assert found.forget([spoilt(text)])[0].reason == "already-forgotten"
    assert found.append(written(new, form, ["7", "120000", "Null"], value=[1, 2, 3])[0]).rows == 3


@pytest.fixture(scope="module")
def near(tmp_path_factory):
    """A workspace in which somebody was forgotten."""
    found = made(tmp_path_factory.mktemp("near"), "parquet", ["ANN", "00007", "120000", "DE-12", "gone"])
    found.forget(["gone"])
    found.process()
    return found


class TestNear:
    @pytest.mark.parametrize(
        ("asked", "kind", "said"),
        [
            ("ann", "case", "the same letters in a different case"),
            ("7", "zeros", "the same digits with a different number of leading zeros"),
            ("12E4", "notation", "the same number"),
            ("DE 12", "separators", "different separators"),
            ("GONE", "case", "somebody has, or had"),
            ("zoe", None, "check the id and its spelling"),
        ],
    )
    def test_an_unknown_id_that_is_like_one_is_told_to_the_operator_alone(self, near, asked, kind, said):
        (answer,) = near.forget([asked])
        assert (answer.reason, answer.near) == ("unknown-subject", kind) and said in answer.message
        with near.storage.database.reading() as connection:
            text = json.dumps([tuple(row) for row in connection.execute(sa.text("SELECT kind, entry FROM events"))])
            kept = json.dumps([list(map(str, row)) for row in connection.execute(sa.text("SELECT * FROM requests"))])
        assert "case" not in text and "near" not in text and said not in kept

    def test_a_correction_of_nobody_is_told_so_too(self, near, tmp_path):
        data = written(tmp_path, "parquet", ["7"], value=[1])[0]
        at = ["-w", near.storage.path, "--receipts", tmp_path / "receipts"]
        assert run("rectify", "7", "--file", data, *at, code=3)["near"] == "zeros"

    def test_case_may_be_ignored_if_that_is_declared(self, tmp_path):
        found = made(tmp_path, "parquet", ["Ann", "ANN", "bob"], ignore_case=True)
        answers = found.forget(["ann", "aNN", "BOB"])
        assert [answer.rows for answer in answers] == [2, 0, 1] and answers[0].request == answers[1].request
        path = tmp_path / "receipt.json"
        path.write_text(answers[0].receipt)
        shown = run("verify", path, "--subject", "ANN", "--key", found.storage.public_key_path)
        assert shown["problem"] is None


class TestTables:
    """Random tables of ids that are easily mixed up, against a reading of our own."""

    N = 100 if SOAK == 1 else 10_000

    @pytest.mark.parametrize("form", ["csv", "parquet"])
    def test_nobody_is_mixed_up(self, tmp_path, form):
        for seed in range(self.N):
            folder = tmp_path / str(seed)
            folder.mkdir()
            self.play(np.random.default_rng(seed), folder, form)

    def play(self, rng: np.random.Generator, folder: Path, form: str) -> None:
        roots = list(rng.choice(DIFFERENT, 6, replace=False))
        n = int(rng.integers(4, 16))
        who = [self.written(str(rng.choice(roots)), rng) for _ in range(n)]
        data, _query = written(folder, form, who, value=list(range(n)))
        by: dict[str, list[int]] = {}
        for row, text in enumerate(who):
            by.setdefault(self.told(text), []).append(row)
        key, files = SubjectKey(bytes(range(32))), list[DataFile]()
        columns, batches = read_batches(data, texts=("who",))
        SubjectTable.create(folder / "table", pa.schema([columns.field("value")]))
        table = SubjectTable(folder / "table", lambda: files)
        files += table.write(numbered(batches, Identification(key, "who"), table.columns, 0), 0)
        forgotten = [self.written(text, rng) for text in by if rng.random() < 0.4]
        change = table.prepare(1, [key.pseudonym(text) for text in forgotten], None)
        files[:] = Change.applied(change, files)
        left = table.of_subjects(table.subjects().to_pylist())
        gone = {self.told(text) for text in forgotten}
        wanted = {value: key.pseudonym(text) for text, rows in by.items() if text not in gone for value in rows}
        assert dict(zip(left["value"].to_pylist(), left[SUBJECT].to_pylist(), strict=True)) == wanted

    def written(self, text: str, rng: np.random.Generator) -> str:
        """An id as somebody may write it."""
        form = rng.choice(["NFC", "NFD"])
        return "".join(rng.choice(["", " ", "\N{NO-BREAK SPACE}", "\u200b"], 2)) + unicodedata.normalize(form, text)

    def told(self, text: str) -> str:
        """Our own reading: what is left when nobody sees it."""
        return unicodedata.normalize("NFC", re.sub("[\u200b]", "", text).strip(" \N{NO-BREAK SPACE}"))
