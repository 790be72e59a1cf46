"""People with several ids, people forgotten, and how long that is known of them; rules of ids that change."""

import base64
import json
import re
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from expunge.errors import InvalidRows, RequestRefused, WorkspaceInvalid
from expunge.evidence.events import EventKind
from expunge.identities import FIRST, Rule
from expunge.ledger import log, times, tokens, tombstones
from expunge.service.app import create_app
from expunge.workspace import Workspace
from expunge.workspace.backup import back_up
from expunge.workspace.doctor import examine
from expunge.workspace.restoring import restore
from expunge.workspace.status import status
from tests.field.test_identities import SCHEMA, made, run, written

ROWS = {
    "who": ["1", "1", "2", "3", "4", "5"],
    "mail": ["a@x", "a2@x", "b@x", None, "d@x", None],
    "device": ["d1", "d9", "d1", "d2", "2", "d5"],
}
"""Device d1 is of 1 and 2; device 2 of 4 is called as customer 2 is."""


def people(folder, **more) -> Workspace:
    return made(folder, "parquet", ROWS["who"], ("mail", "device"), mail=ROWS["mail"], device=ROWS["device"], **more)


def new(folder, who, mail, device, value=7):
    """A file with a new row."""
    (folder / "new").mkdir(exist_ok=True)
    return written(folder / "new", "parquet", [who], mail=[mail], device=[device], value=[value])[0]


def problems(found: Workspace) -> list[str]:
    """What the doctor finds."""
    return [f"{finding.check}: {finding.problem}" for finding in examine(found.storage, "minutes") if finding.problem]


class TestAliases:
    def test_any_id_leads_to_all_rows(self, tmp_path):
        found = people(tmp_path)
        first, *others = found.forget(["a@x", "a2@x", "d9", "1"])
        assert first.rows == 2 and {answer.request for answer in others} == {first.request}
        assert found.process().closed == 1
        assert [answer.reason for answer in found.forget(["1", "a@x", "a2@x", "d9"])] == ["already-forgotten"] * 4
        assert found.storage.table.count() == 4 and not problems(found)
        assert found.forget(["d1"])[0].rows == 1  # of 2, whose it still is

    def test_an_id_of_several_people_takes_nobody(self, tmp_path):
        found = people(tmp_path)
        shared, confused = found.forget(["d1", "2"])
        assert [answer.reason for answer in (shared, confused)] == ["several-people"] * 2
        assert "stands for 2 people" in shared.message and "column 'who'" in shared.message
        (by_who,), (by_device,) = found.forget(["2"], by="who"), found.forget(["2"], by="device")
        assert (by_who.rows, by_device.rows) == (1, 1) and by_who.request != by_device.request
        assert found.forget(["3"], by="phone")[0].reason == "unknown-column"

    def test_values_of_aliases_are_kept_nowhere_and_go_with_the_rows(self, tmp_path):
        found = people(tmp_path)
        assert found.storage.table.columns.names == ["value"]
        stored = b"".join(path.read_bytes() for path in found.storage.path.rglob("*") if path.is_file())
        assert b"a2@x" not in stored
        tags = found.storage.table.aliases_of([found.storage.subject_key.pseudonym("1")], "_alias_1")
        gone = [tag.encode() for listed in tags.values() for tag in listed]
        assert len(gone) == 2 and all(tag in _columns(found, "_alias_1") for tag in gone)
        found.forget(["1"])
        found.process()
        after = b"".join(path.read_bytes() for path in found.storage.path.rglob("*") if path.is_file())
        assert not any(tag in _columns(found, "_alias_1") or tag in after for tag in gone)

    def test_an_alias_that_is_a_feature_too_is_kept_as_it_is(self, tmp_path):
        (tmp_path / "rows").mkdir()
        data, _ = written(tmp_path / "rows", "parquet", ["1"], device=["d1"], value=[1])
        (tmp_path / "s.toml").write_text(SCHEMA + '[columns."device"]\nkind = "category"\nvalues = ["d1", "d2"]\n')
        found = Workspace.create(tmp_path / "ws", data, "who", aliases=["device"], schema=tmp_path / "s.toml")
        assert found.storage.table.columns.names == ["device", "value"] and found.forget(["d1"])[0].rows == 1

    def test_those_forgotten_do_not_come_back_by_another_id(self, tmp_path):
        found = people(tmp_path)
        found.forget(["1"])
        found.process()
        with pytest.raises(InvalidRows, match=r"row \d belongs to somebody who was forgotten \(by column 'mail'\)"):
            found.append(new(tmp_path, "77", "a@x", "d77"))
        assert found.append(new(tmp_path, "78", "z@x", "d1")).rows == 1  # a device that others have too keeps nobody out
        assert found.append(new(tmp_path, "77", "a@x", "d77"), returning=True).rows == 1
        assert found.append(new(tmp_path, "79", "a@x", None)).rows == 1  # nor does an id that has come back
        assert found.forget(["1"])[0].reason == "already-forgotten"  # the customer has not
        assert found.forget(["a2@x"])[0].reason == "already-forgotten" and not problems(found)

    def test_one_who_comes_back_has_all_ids_again(self, tmp_path):
        found = people(tmp_path)
        found.forget(["1"])
        found.process()
        with pytest.raises(InvalidRows, match="by column 'who'"):
            found.append(new(tmp_path, "1", None, None))
        found.append(new(tmp_path, "1", None, None), returning=True)
        assert [answer.reason for answer in found.forget(["a@x", "1"])] == ["unknown-subject", None]

    def test_a_correction_is_asked_for_by_any_id(self, tmp_path):
        found = people(tmp_path)
        with pytest.raises(RequestRefused) as refused:
            found.rectify("d1 ", new(tmp_path, "1", None, "d1"))
        assert refused.value.reason == "several-people"
        answer, _outcomes = found.rectify("a2@x", new(tmp_path, "1", "a3@x", None))
        assert answer.rows == 1 and found.forget(["a3@x"])[0].rows == 1

    def test_a_restored_backup_knows_them_too(self, tmp_path):
        found = people(tmp_path)
        settings = found.storage.configuration_path
        settings.write_text(settings.read_text().replace('anchor = ""', f'anchor = "{tmp_path}/anchor.json"'))
        found = Workspace.open(found.storage.path)
        back_up(found.storage, tmp_path / "backup")
        found.append(new(tmp_path, "6", "f@x", "d6"))
        found.forget(["6", "1"])
        found.process()
        found.storage.path.rename(tmp_path / "lost")
        restore(tmp_path / "backup", tmp_path / "again")
        again = Workspace.open(tmp_path / "again")
        assert again.forget(["f@x"])[0].reason == "already-forgotten"
        again.process()
        assert {answer.reason for answer in again.forget(["a@x", "d9", "1", "d6"])} == {"already-forgotten"}
        assert not problems(again)

    def test_the_command_line_and_the_api_say_which_column(self, tmp_path):
        (tmp_path / "data").mkdir()
        data, _ = written(tmp_path / "data", "parquet", ROWS["who"], mail=ROWS["mail"], device=ROWS["device"], value=[0] * 6)
        (tmp_path / "s.toml").write_text(SCHEMA)
        ids = ["--subject", "who", "--alias", "mail", "--alias", "device"]
        run("init", tmp_path / "ws", "--data", data, *ids, "--schema", tmp_path / "s.toml")
        at = ["-w", tmp_path / "ws", "--receipts", tmp_path / "receipts"]
        (refused,) = run("forget", "2", *at, code=3)
        (accepted,) = run("forget", "2", "--by", "device", *at)
        assert (refused["reason"], accepted["rows"]) == ("several-people", 1)
        (tmp_path / "ids.csv").write_text("Mail\nnobody@x\nb@x\n")
        lines = run("forget", "--file", tmp_path / "ids.csv", *at, code=3)
        assert [(line["line"], line["reason"]) for line in lines] == [(2, "unknown-subject"), (3, None)]
        found = Workspace.open(tmp_path / "ws")
        with found.storage.database.writing() as connection:
            token = {"Authorization": f"Bearer {tokens.issue(connection, 'Ann', 'operator')}"}
        with TestClient(create_app(found, every=3600.0)) as client:
            got = client.post("/v1/requests", headers=token, json={"subject": "d1"})
            assert (got.status_code, got.json()["reason"]) == (409, "several-people")
            got = client.post("/v1/requests", headers=token, json={"subject": "2", "by": "device"})
            assert got.json()["request"] == accepted["request"]
            got = client.post("/v1/requests", headers=token, json={"subject": "A@X"})
            assert (got.status_code, got.json()["near"]) == (422, "case")

    @pytest.mark.parametrize(("aliases", "said"), [(["none"], "no column 'none'"), (["who"], "given twice")])
    def test_columns_that_cannot_be_aliases(self, tmp_path, aliases, said):
        with pytest.raises(InvalidRows, match=said):
            made(tmp_path, "parquet", ["1"], tuple(aliases))


def _commitment(receipt: str) -> str:
    payload = json.loads(base64.b64decode(json.loads(json.loads(receipt)["envelope"])["payload"]))
    return payload["predicate"]["commitment"]


def _columns(found: Workspace, name: str) -> bytes:
    """All that is in a column of the table's files."""
    values = [pq.read_table(path, columns=[name])[name].to_pylist() for path in found.storage.table.path.rglob("*.parquet")]
    return "".join(str(value) for listed in values for value in listed).encode()


class TestTombstones:
    def test_they_go_when_their_term_is_over(self, tmp_path, monkeypatch):
        found = people(tmp_path)
        found.forget(["1", "3"])
        cancelled = found.forget(["5"])[0].request
        found.cancel(cancelled)
        found.process()
        shown = status(found.storage).tombstones
        assert (shown.people, shown.other_ids) == (3, 4)
        _pass_days(monkeypatch, found, 1094)
        assert found.process().purged == 0 and found.forget(["a@x"])[0].reason == "already-forgotten"
        _pass_days(monkeypatch, found, 1)
        assert "3 tombstones have outlived their term" in "".join(problems(found))
        copy = found.storage.database.copy_path
        copy.write_bytes(b"the ledger before an upgrade, tombstones and all")
        assert found.process().purged == 3 and not copy.exists()
        with found.storage.database.reading() as connection:
            assert tombstones.kept(connection) == (0, 0, None, None) and not tombstones.standing(connection)
            events = list(log.of_kind(connection, EventKind.TOMBSTONES_PURGED))
        assert [event.content["count"] for event in events] == [3] and set(events[0].content) == {"seq", "at", "kind", "count"}
        assert [answer.reason for answer in found.forget(["1", "a@x"])] == ["unknown-subject"] * 2
        assert found.append(new(tmp_path, "1", "a@x", None)).rows == 1 and not problems(found)

    def test_those_of_open_requests_and_of_later_ones_stay(self, tmp_path, monkeypatch):
        found = people(tmp_path)
        found.forget(["1"])
        found.process()
        _pass_days(monkeypatch, found, 500)
        found.forget(["2", "4"], by="who")
        found.process()
        waits = found.forget(["3"])[0]
        _pass_days(monkeypatch, found, 600)
        purged = []
        with found.storage.exclusive():
            from expunge.workspace.forgetting import purge_tombstones

            purged.append(purge_tombstones(found.storage))
        assert purged == [1] and found.forget(["3"])[0].request == waits.request
        assert [answer.reason for answer in found.forget(["b@x", "1"])] == ["already-forgotten", "unknown-subject"]

    def test_a_key_whose_person_is_no_longer_known_is_used_up(self, tmp_path, monkeypatch):
        found = people(tmp_path)
        found.forget(["1"], keys={"1": "k"})
        found.process()
        assert found.forget(["1"], keys={"1": "k"})[0].state == "accepted", "the first answer, again"
        assert found.forget(["a@x"], keys={"a@x": "k"})[0].reason == "key-reused", "another call, even of the same person"
        _pass_days(monkeypatch, found, 1096)
        found.process()
        assert found.forget(["1"], keys={"1": "k"})[0].reason == "key-reused"

    def test_nothing_of_them_is_left_in_the_ledgers_file(self, tmp_path, monkeypatch):
        found = people(tmp_path)
        found.forget(["1"])
        found.process()
        with found.storage.database.reading() as connection:
            stones = [stone.encode() for stone in tombstones.standing(connection)]
        _pass_days(monkeypatch, found, 1096)
        found.process()
        found.storage.database.close()
        left = b"".join(path.read_bytes() for path in found.storage.path.glob("ledger.sqlite*"))
        assert len(stones) == 4 and not [stone for stone in stones if stone in left]


def _pass_days(monkeypatch, found: Workspace, days: int) -> None:
    """Lets days pass, with somebody looking at the queue now and then."""
    now = times.now() + timedelta(days=days)
    monkeypatch.setattr(times, "now", lambda: now)
    with found.storage.database.writing() as connection:
        from expunge.ledger.properties import set_property

        set_property(connection, log.SEEN, times.published())


class TestRules:
    """A workspace that an earlier rule of ids made: as written, but for white space around it."""

    OLD = ("Rene\u0301", "Ren\xe9", "x\u200b", "plain", "Zoe\u0308")
    """The first two were two people; now they are one id."""

    @pytest.fixture
    def found(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Rule, "newest", property(lambda rule: rule))
        monkeypatch.setattr("expunge.workspace.workspace.EXACT", FIRST)
        return made(tmp_path, "parquet", [*self.OLD, "gone"])

    def test_nobody_is_lost_when_the_rule_changes(self, tmp_path, found, monkeypatch):
        receipt = found.forget(["gone"])[0]
        found.process()
        before = {text: found.storage.subject_key.pseudonym(text) for text in self.OLD}
        assert len(set(before.values())) == 5
        monkeypatch.undo()
        found = Workspace.open(found.storage.path)
        (tmp_path / "new").mkdir()
        who = ["Zoe\u0308", "Zo\xeb", "plain", "x\u200b", "fresh", "fresh\u200b"]
        found.append(written(tmp_path / "new", "parquet", who, value=list(range(6)))[0])
        assert found.storage.subject_key_path.read_text().splitlines()[1:] == ["ids by rule 1", "ids by rule 2"]
        assert [answer.rows for answer in found.forget(["Zo\xeb", "x\u200b", "plain", "fresh"])] == [3, 2, 2, 2]
        assert found.forget(["gone\u200b"])[0].reason == "already-forgotten"
        assert found.receipt(receipt.request, " gone").commitment == _commitment(receipt.receipt)
        with pytest.raises(InvalidRows, match="somebody who was forgotten"):
            found.append(written(tmp_path / "new", "parquet", ["gone"], value=[1])[0])
        (both,) = found.forget(["Rene\u0301\u200b"])
        assert both.rows == 2 and "Under an earlier rule of ids this was more than one person" in both.message
        assert found.process().closed == 6 and found.storage.table.count() == 0 and not problems(found)
        assert {answer.reason for answer in found.forget([*self.OLD, "Ren\xe9"])} == {"already-forgotten"}

    def test_a_change_that_is_interrupted_is_finished(self, found, monkeypatch):
        monkeypatch.undo()
        storage = Workspace.open(found.storage.path).storage
        with monkeypatch.context() as patch:
            patch.setattr("expunge.data.pseudonyms.SubjectKey.save", lambda key, path: 1 / 0)
            with pytest.raises(ZeroDivisionError), storage.exclusive():
                storage.renew_subject_key()
        again = Workspace.open(storage.path)
        assert again.forget(["Zoe\u0308"])[0].rows == 1
        again.process()
        assert storage.subject_key_path.read_text().count("ids by rule") == 2 and not problems(again)

    def test_a_rule_that_somebody_wrote_into_the_file_is_noticed(self, tmp_path):
        found = made(tmp_path, "parquet", ["Ann", "ann"])
        path = found.storage.subject_key_path
        path.write_text(path.read_text().replace("rule 2", "rule 2 ignoring case"))
        with pytest.raises(WorkspaceInvalid, match="names another rule of ids"):
            Workspace.open(found.storage.path).forget(["ann"])


def test_the_page_shows_how_a_file_was_read_and_lets_it_be_read_otherwise(tmp_path):
    found = people(tmp_path)
    with found.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", "operator")
        other = tokens.issue(connection, "Bob", "operator")
    with TestClient(create_app(found, every=3600.0), follow_redirects=False) as client:
        page = _Page(client, token)
        shown = page.preview({}, {"upload": ("ids.csv", b"name,id\nAnn,1\nBob,3\n", "text/csv")})
        assert shown.status_code == 422 and "2 columns" in shown.text
        shown = page.preview({"column": "id"}, {"upload": ("ids.csv", b"name,id\nAnn,1\nBob,none\nCid,3\n", "text/csv")})
        assert "2</strong> of 3 are to be forgotten" in shown.text and "3</strong> rows" in shown.text
        assert "taken for a heading" in shown.text and "1 not known here" in shown.text and "line 3" in shown.text
        hidden = re.findall(r'type="hidden"[^>]*value="([^"]*)"', shown.text)
        assert len(hidden) >= 4 and not {"1", "3", "none", "Ann"} & set(hidden)  # no id is sent back
        draft = page.draft(shown)
        again = page.preview({"draft": draft, "heading": "no"})
        assert "taken for an id" in again.text and "of 4 are to be forgotten" in again.text
        assert page.request(draft).status_code == 422  # what is shown now is another
        assert _Page(client, other).request(page.draft(again)).status_code == 422  # and it is Ann's
        made_now = _Page(client, token).request(page.draft(again))
        assert made_now.status_code == 201 and "0 of 4 accepted" in made_now.text


class _Page:
    def __init__(self, client: TestClient, token: str) -> None:
        self.client = client
        client.post("/login", data={"token": token})
        self.csrf = _value(client.get("/requests/new").text, "csrf")

    def preview(self, fields, files=None):
        return self.client.post("/requests/preview", data={"csrf": self.csrf, **fields}, files=files)

    def draft(self, shown) -> str:
        return _value(shown.text, "draft")

    def request(self, draft: str):
        return self.client.post("/requests", data={"csrf": self.csrf, "draft": draft})


def _value(text: str, name: str) -> str:
    return text.split(f'name="{name}" value="')[1].split('"')[0]
