"""Suppression lists: people are found by a stated hash, later rows are left out, and no id and no listed hash is kept."""

import base64
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.hashed_ids import HashedId
from expunge.errors import InvalidRows
from expunge.evidence.receipts import verify_receipt
from expunge.ledger import excerpts, tables
from expunge.workspace import Workspace
from expunge.workspace.suppressing import GivenList
from tests.workspace.people import SCHEMA, people, with_mail

MAIL, TELEPHONE = "sha256(lower(mail))", "sha1(e164(telephone))"
SHARED = "+49 30 555"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def table() -> pa.Table:
    """Everybody has an e-mail address, in letters of both cases; two have one telephone."""
    made = with_mail(people())
    mails = [mail.replace("person", "Person") for mail in made["mail"].to_pylist()]
    telephones = [SHARED if who in ("person-8", "person-9") else None for who in made["who"].to_pylist()]
    return made.set_column(made.schema.get_field_index("mail"), "mail", [mails]).append_column(
        "telephone", pa.array(telephones, pa.string())
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suppressing")
    pq.write_table(table(), folder / "people.parquet")
    (folder / "schema.toml").write_text(SCHEMA)
    data = str(folder / "people.parquet")
    hashed = [MAIL, TELEPHONE]
    made = Workspace.create(folder / "ws", data, "who", hashed_aliases=hashed, schema=folder / "schema.toml")
    made.fit("churn", "churn", delta=1e-5)
    return made


def given(name, entries, hashed=MAIL):
    return GivenList(name, HashedId.declared(hashed), entries, range(1, len(entries) + 1))


def rows_of(folder, names, mails=None):
    path = folder / f"{names[0]}.parquet"
    rows = table().slice(0, len(names)).set_column(0, "who", pa.array(names))
    mails = mails or [f"{name}@example.org" for name in names]
    pq.write_table(rows.set_column(rows.schema.get_field_index("mail"), "mail", pa.array(mails)), path)
    return str(path)


def test_who_is_found_is_forgotten_and_the_others_are_kept(found, tmp_path):
    listed = [sha256("person-1@example.org"), base64.b64encode(bytes.fromhex(sha256("new@example.org"))).decode()]
    done = found.suppression.add(given("drop-1", [*listed, listed[0].upper()]))
    assert (done.entries, done.new, done.several, done.unmatched, len(done.answers)) == (2, 2, 0, 1, 1)
    (answer,) = done.answers
    with found.storage.database.reading() as connection:
        keys = found.storage.public_keys(connection)
    assert verify_receipt(json.loads(answer.receipt), keys, listed[0])["request"] == answer.request
    again = found.suppression.add(given("drop-1", listed))
    assert again.new == 0 and again.answers[0].request == answer.request and again.answers[0].receipt is None
    assert found.process().requests == (answer.request,)
    after = found.suppression.add(given("drop-1", listed))
    assert after.unmatched == 2 and not after.answers
    assert found.forget(["person-1"])[0].reason == "already-forgotten"


def test_later_rows_of_anybody_on_a_list_are_left_out(found, tmp_path):
    found.suppression.add(given("drop-2", [sha256("late@example.org"), sha256("person-2@example.org")]))
    found.process()
    before = found.storage.table.count()
    data = rows_of(tmp_path, ["newcomer", "other", "back"], [" Late@Example.org", "other@example.org", "person-2@example.org"])
    planned = found.planned(lambda plans: plans.append(data))
    assert (planned.expected.suppressed, planned.expected.rows) == (2, 1)
    assert "2 rows are left out, because their people are on a suppression list" in planned.expected.sentences
    done = found.append(data)
    assert (done.rows, done.arrived.suppressed) == (1, 2) and found.storage.table.count() == before + 1
    assert found.forget(["newcomer"], dry_run=True)[0].reason == "unknown-subject"
    assert found.append(rows_of(tmp_path, ["late"], ["LATE@example.org"])).rows == 0
    found.suppression.add(given("drop-3", [sha256("person-3@example.org")]))
    found.process()
    found.suppression.lift("drop-3")
    with pytest.raises(InvalidRows, match="forgotten"):  # they are on no list any more
        found.append(rows_of(tmp_path, ["person-3"]))
    found.suppression.lift("drop-2")
    assert found.append(rows_of(tmp_path, ["late2"], ["late@example.org"])).rows == 1


def test_a_hash_that_stands_for_several_people_asks_for_nobody(found):
    digest = hashlib.sha1(b"+4930555").hexdigest()
    done = found.suppression.add(given("telephones", [digest], TELEPHONE))
    assert (done.several, done.answers, done.unmatched) == (1, [], 0)


@pytest.mark.parametrize(
    ("name", "entries", "hashed", "says"),
    [
        ("drop-4", ["person-4@example.org"], MAIL, "line 1 is not a sha256 hash"),
        ("drop-4", [sha256("person-4@example.org"), hashlib.sha1(b"x").hexdigest()], MAIL, "line 2 .* 1 of 2"),
        ("drop-4", [sha256("x")], "sha256(exact(mail))", "declared are sha256\\(lower"),
        ("Drop 4", [sha256("x")], MAIL, "name"),
        ("drop-1", [hashlib.sha1(b"x").hexdigest()], TELEPHONE, "another name"),
        ("drop-4", [], MAIL, "no hashes"),
    ],
)
def test_a_list_that_cannot_be_is_refused_whole(name, entries, hashed, says, found):
    with pytest.raises(ValueError, match=says) as error:
        found.suppression.add(given(name, entries, hashed))
    assert "person-4" not in str(error.value)
    assert "drop-4" not in [each.name for each in found.suppression.lists()]
    with pytest.raises(ValueError, match="there is no suppression list"):
        found.suppression.lift("drop-4")


def test_neither_ids_nor_listed_hashes_are_anywhere(found):
    listed = sha256("secret@example.org")
    found.suppression.add(given("drop-5", [listed]))
    for path in found.storage.path.rglob("*"):
        if path.is_file() and path.parent.name != "keys":
            content = path.read_bytes()
            assert listed.encode() not in content and bytes.fromhex(listed) not in content, path
            assert b"secret@example.org" not in content and b"Person-20@example.org" not in content, path
    with found.storage.database.reading() as connection:
        (event,) = excerpts.newest_entries(connection, None, (1, 2**53), 1)
        assert event.content["list"] == "drop-5" and set(event.content) == {"seq", "at", "kind", "list"}
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.suppressions)).scalar()


def test_hashes_are_declared_and_written_in_one_way():
    assert str(HashedId.declared("md5(digits(phone (home)))")) == "md5(digits(phone (home)))"
    for wrong in ("mail", "sha256(mail)", "crc(lower(mail))", "sha256(upper(mail))"):
        with pytest.raises(ValueError, match="is written like"):
            HashedId.declared(wrong)
    telephone = HashedId("t", "e164", "sha256")
    assert telephone.of("+49 (30) 555") == telephone.of("4930555") == sha256("+4930555")
    assert HashedId("t", "digits", "sha256").of("+49 30 555") == sha256("4930555")
    assert telephone.read("zz") is None and telephone.read("A" * 63) is None


def test_at_the_command_line(found, tmp_path):
    (tmp_path / "list.txt").write_text(f"{sha256('person-6@example.org')}\n{sha256('nobody@example.org')}\n")
    how = ["--column", "mail", "--list", "drop-6", "-w", str(found.storage.path)]
    run = CliRunner().invoke(app, ["suppress", str(tmp_path / "list.txt"), *how, "--receipts", str(tmp_path / "r"), "--json"])
    said = json.loads(run.stdout)
    assert run.exit_code == 0 and (said["entries"], said["unmatched"], len(said["requests"])) == (2, 1, 1)
    assert len(list((tmp_path / "r").glob("r-*.json"))) == 1
    run = CliRunner().invoke(app, ["suppressions", "-w", str(found.storage.path), "--lift", "drop-6", "--json"])
    assert "drop-6" not in [each["name"] for each in json.loads(run.stdout)["lists"]]
    assert "drop-1" in CliRunner().invoke(app, ["suppressions", "-w", str(found.storage.path)]).stdout
    run = CliRunner().invoke(app, ["suppress", str(tmp_path / "list.txt"), *how, "--hash", "md5"])
    assert run.exit_code == 1 and "person" not in run.output
