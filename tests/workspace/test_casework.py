"""Cases: how requests came, deadlines, holds, approvals, refusals, notes and the register; on SQLite and PostgreSQL."""

import csv
import io
import itertools
import json
from datetime import UTC, date, datetime, timedelta

import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.errors import RequestRefused
from expunge.evidence.events import EventKind
from expunge.evidence.statements import predicate_of
from expunge.ledger import cases, hooks, log, notices, register, requests, sealing
from expunge.ledger.register import Filter, Matter, Sort
from expunge.ledger.requests import Channel, RequestKind, RequestState
from expunge.ledger.tables import requests as table
from expunge.service import reminders
from expunge.workspace import Workspace, handling
from expunge.workspace import register as registers
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.cases import Case, WrongField
from expunge.workspace.checks import asked as agrees_with_log
from expunge.workspace.deadlines import DaysOff, due_on
from expunge.workspace.forgetting import purge_tombstones
from tests.workspace.people import workspace

SECRET = ("REF-4711", "Eve Examiner", "she called twice")


PEOPLE = itertools.count(200, 3)
"""First numbers of three people each, who have not asked before."""


def day(days: int) -> date:
    return (datetime.now(UTC) + timedelta(days=days)).date()


def setting(found: Workspace, **values: object) -> Workspace:
    """The workspace with other settings."""
    path = found.storage.configuration_path
    lines = [line for line in path.read_text().splitlines() if line.split(" = ")[0] not in values]
    written = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path.write_text("\n".join([*written, *lines, ""]))
    return Workspace.open(found.storage.path)


def ask(found, subject, actor="ann", **case):
    (answer,) = found.ask([ForgetRequest(subject, actor, case=Case.read(**case))])
    return answer


def row_of(found, request):
    with found.storage.database.reading() as connection:
        return requests.by_id(connection, request)


def command(found, *arguments, code=0, text=None):
    result = CliRunner().invoke(app, [*arguments, "-w", str(found.storage.path), "--json"], input=text)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def found(request, tmp_path_factory):
    url = None if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()
    made = workspace(tmp_path_factory.mktemp("cases"), models=False, database=url)
    yield made
    made.storage.database.close()


class TestHowItCame:
    def test_the_deadline_counts_from_the_day_of_receipt_and_the_receipt_says_so(self, found):
        received = day(-10)
        answer = ask(found, "person-1", received_on=received.isoformat(), channel="letter", reference=SECRET[0])
        row = row_of(found, answer.request)
        due = due_on(received, 1, DaysOff())
        assert (row.received_on, row.deadline[:10], row.channel) == (received.isoformat(), due.isoformat(), Channel.LETTER)
        said = predicate_of(json.loads(answer.receipt)["envelope"])
        assert (said["received"], said["deadline"]) == (row.received_on, row.deadline)
        with found.storage.database.reading() as connection:
            assert cases.file_of(connection, answer.request).reference == SECRET[0]

    def test_an_extension_leaves_the_receipt_as_it_was(self, found):
        answer = ask(found, "person-2")
        first = row_of(found, answer.request).deadline
        deadline = handling.extend(found.storage, answer.request, 2, "complexity", "ann")
        assert deadline[:10] == due_on(day(0), 3, DaysOff()).isoformat()
        row = row_of(found, answer.request)
        assert (row.deadline, row.first_deadline, row.extension) == (deadline, first, "complexity")
        again = predicate_of(json.loads(found.receipt(answer.request, "person-2").document)["envelope"])
        assert again == predicate_of(json.loads(answer.receipt)["envelope"])
        with pytest.raises(RequestRefused, match="only once"):
            handling.extend(found.storage, answer.request, 1, "many", "ann")

    def test_a_deadline_that_is_over_is_not_extended(self, found):
        answer = ask(found, "person-3", received_on=day(-70).isoformat())
        assert "which is over" in answer.message
        with pytest.raises(RequestRefused, match="cannot be extended afterwards"):
            handling.extend(found.storage, answer.request, 1, "many", "ann")

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"received_on": day(2).isoformat()}, "received_on"),
            ({"received_on": "3 Nov"}, "received_on"),
            ({"received_on": "0206-11-03"}, "received_on"),
            ({"channel": "pigeon"}, "channel"),
            ({"reference": "x" * 201}, "reference"),
            ({"checked_by": "a\nb"}, "checked_by"),
            ({"note": "a\0b"}, "note"),
            ({"note": "x" * 5001}, "note"),
        ],
    )
    def test_what_cannot_be_taken_names_its_field_and_quotes_nothing(self, given, field):
        with pytest.raises(WrongField) as caught:
            Case.read(**given)
        assert caught.value.field == field and "pigeon" not in str(caught.value)

    def test_what_is_noted_is_in_no_log_and_no_notice(self, found):
        with found.storage.database.writing() as connection:
            hook, _secret = hooks.add(connection, "https://a.example/", "2026")
        answer = ask(found, "person-4", channel="telephone", reference=SECRET[0], checked_by=SECRET[1], note=SECRET[2])
        handling.note(found.storage, answer.request, "and a letter came", "ann")
        with found.storage.database.reading() as connection:
            assert [note.text for note in cases.notes_of(connection, answer.request)] == [SECRET[2], "and a letter came"]
            said = [json.dumps(event.content) for event in log.entries(connection, 0, 10_000)]
            said += [made.body for made in notices.listed(connection, hook, 100)]
        assert answer.request in "".join(said)
        assert not any(word in "".join(said) for word in (*SECRET, "telephone", "a letter came"))
        with found.storage.database.writing() as connection:
            hooks.remove(connection, hook)


class TestTheHold:
    def test_nobody_works_it_before_and_it_can_be_undone(self, found):
        found = setting(found, hold_hours=2)
        kept, undone = ask(found, "person-20").request, ask(found, "person-21").request
        done = found.process(is_due=True, heeds_hold=True)  # as the service does
        assert {kept, undone} <= done.held.keys() and kept not in done.requests
        handling.withdraw(found.storage, undone, "mistake", "ann")
        assert (
            row_of(found, undone).state == RequestState.CANCELLED
            and found.preview([ForgetRequest("person-21", "ann")]).rows[0] > 0
        )
        told = command(found, "process")
        assert kept in told["held"] and row_of(found, kept).state == RequestState.ACCEPTED
        assert kept in command(found, "process", "--now", "--dry-run")["requests"]
        assert kept not in command(found, "process", "--dry-run")["requests"]
        assert command(found, "process", "--now")["held"] == {}
        assert row_of(found, kept).state == RequestState.CLOSED
        with pytest.raises(RequestRefused, match="is closed: only an untouched one can be cancelled"):
            handling.withdraw(found.storage, kept, "person", "ann")
        agrees_with_log(found.storage)

    def test_none_is_worked_at_once(self, found):
        found = setting(found, hold_hours=0)
        request = ask(found, "person-22").request
        assert request in found.process(is_due=True, heeds_hold=True).requests

    def test_a_hold_that_is_over_is_none(self, found):
        found = setting(found, hold_hours=1)
        request = ask(found, "person-23").request
        with found.storage.database.writing() as connection:
            past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="microseconds")
            sealing.update(connection, table, table.c.id == request, hold=past)
        assert request in found.process(is_due=True, heeds_hold=True).requests
        setting(found, hold_hours=0)


class TestASecondPerson:
    @pytest.fixture
    def lot(self, found):
        found = setting(found, approval_people=2)
        first = next(PEOPLE)
        wishes = [ForgetRequest(f"person-{first + n}", "ann") for n in range(3)]
        yield found, [answer.request for answer in found.ask(wishes)]
        setting(found, approval_people=0)

    def test_approves_all_that_came_together_and_nobody_their_own(self, lot):
        found, ids = lot
        assert found.process().unapproved == 3  # not even by hand
        assert {row_of(found, name).state for name in ids} == {RequestState.ACCEPTED}
        with pytest.raises(RequestRefused, match="a second person"):
            handling.approve(found.storage, ids[0], "ann")
        assert sorted(handling.approve(found.storage, ids[1], "bob")) == sorted(ids)
        with pytest.raises(RequestRefused, match="does not wait for approval"):
            handling.approve(found.storage, ids[1], "bob")
        assert set(ids) <= set(found.process().requests)
        agrees_with_log(found.storage)
        with found.storage.database.reading() as connection:
            approved = [event.text("request") for event in log.of_kind(connection, EventKind.REQUEST_APPROVED)]
        assert set(ids) <= set(approved)

    def test_a_few_need_nobody(self, lot):
        found, ids = lot
        handling.withdraw(found.storage, ids[0], "other", "ann")
        assert [row_of(found, ids[0]).reason, row_of(found, ids[1]).reason] == [cases.Withdrawal.OTHER, None]
        two = found.ask([ForgetRequest("person-5", "ann"), ForgetRequest("person-5", "ann"), ForgetRequest("person-6", "ann")])
        assert not any(row_of(found, answer.request).is_unapproved for answer in two)
        for name in ids[1:]:
            handling.refuse(found.storage, name, "excessive", "bob")


class TestRefusals:
    def test_an_officer_refuses_with_a_reason_that_the_law_has(self, found):
        request = ask(found, "person-7", actor="key-holder").request
        with pytest.raises(WrongField, match="must be one of expression, legal-obligation"):
            handling.refuse(found.storage, request, "no time", "ann")
        handling.refuse(found.storage, request, "legal-claims", "ann")
        row = row_of(found, request)
        assert (row.state, row.reason, row.subject) == (RequestState.REFUSED, "legal-claims", None)
        with found.storage.database.reading() as connection:
            last = log.of_kind(connection, EventKind.REQUEST_REFUSED)[-1]
        assert (last.text("request"), last.text("reason")) == (request, "legal-claims")
        again = ask(found, "person-7")
        assert again.state == RequestState.ACCEPTED and again.request != request  # they may ask again
        agrees_with_log(found.storage)

    def test_its_key_replays_the_first_answer(self, found):
        (made,) = found.ask([ForgetRequest("person-8", "ann", key="k-8")])
        handling.refuse(found.storage, made.request, "unfounded", "ann")
        (again,) = found.ask([ForgetRequest("person-8", "ann", key="k-8")])
        assert (again.request, again.is_replayed) == (made.request, True)
        assert row_of(found, made.request).state == RequestState.REFUSED  # and nothing was made


@pytest.fixture(scope="module")
def many(found):
    """Overdue requests beyond the twenty that are listed, beside one of every other outcome."""
    extended, withdrawn, refused = (ask(found, f"person-{n}").request for n in range(122, 125))
    handling.extend(found.storage, extended, 1, "many", "ann")
    handling.withdraw(found.storage, withdrawn, "mistake", "ann")
    handling.refuse(found.storage, refused, "excessive", "bob")
    found.process()
    late = [ForgetRequest(f"person-{n}", "ann", case=Case.read(day(-45).isoformat(), "email")) for n in range(60, 85)]
    answers = found.ask(late)
    return [answer.request for answer in answers if answer.receipt is not None]


class TestTheRegister:
    def test_counts_and_overdue_are_right_beyond_twenty(self, found, many):
        from expunge.workspace.status import SHOWN, status

        seen = status(found.storage)
        assert len(many) > SHOWN == len(seen.open) and seen.overdue >= len(many)
        with found.storage.database.reading() as connection:
            every = list(register.every(connection, Filter(matter=Matter.OVERDUE, channel=Channel.EMAIL)))
            assert {row.id for row in every} == set(many) and len(every) == len(many)
            assert register.total(connection, Filter(channel=Channel.EMAIL, since=day(-46), until=day(-44))) == len(many)
            assert register.total(connection, Filter(channel=Channel.EMAIL, since=day(-44))) == 0
            for state in RequestState:
                listed = list(register.every(connection, Filter(state=state)))
                assert len(listed) == register.total(connection, Filter(state=state)) == seen.requests[state]

    @pytest.mark.parametrize("sort", Sort)
    def test_pages_have_every_request_once(self, sort, found, many):
        with found.storage.database.reading() as connection:
            whole = [row.id for row in register.listed(connection, Filter(), sort, 500)]
            parts = [register.listed(connection, Filter(), sort, 7, skip=skip) for skip in range(0, len(whole) + 7, 7)]
            paged = [row.id for part in parts for row in part]
            followed, after = [], None
            while part := register.listed(connection, Filter(), sort, 7, after=after):
                followed += [row.id for row in part]
                after = register.place(part[-1], sort)
        assert whole == paged == followed and len(set(whole)) == len(whole) > 7

    def test_the_evidence_has_no_id_and_no_note(self, found, many, tmp_path):
        out = tmp_path / "register.csv"
        command(found, "requests", "--out", str(out))
        rows = list(csv.DictReader(io.StringIO(out.read_text())))
        with found.storage.database.reading() as connection:
            assert len(rows) == register.total(connection)
        assert not any(word in out.read_text() for word in (*SECRET, "person-"))
        by = {row["request"]: row for row in rows}
        assert by[many[0]]["in_time"] == "" and by[many[0]]["outcome"] == "open"
        assert {row["outcome"] for row in rows} == {"open", "done", "withdrawn", "refused"}
        extended = next(row for row in rows if row["extension"])
        assert extended["first_due_on"] < extended["due_on"]

    def test_a_person_is_found_by_any_of_their_states(self, found):
        ended = ask(found, "person-100").request
        found.process()
        late = ask(found, "person-101", reference="REF-101").request
        assert [row.id for row in registers.about(found.storage, "person-100")][-1] == ended
        assert [row.id for row in registers.about(found.storage, "person-101")] == [late]
        assert registers.about(found.storage, "nobody") == []
        with found.storage.database.reading() as connection:
            assert [row.id for row in register.called(connection, "REF-101", 10)] == [late]
            assert [row.id for row in register.called(connection, late[:9], 10)] == [late]
            assert register.called(connection, "r-%", 10) == register.called(connection, "r-", 10) == []
        assert command(found, "requests", "--subject", "-", text="person-100\n")["items"][-1]["id"] == ended
        assert command(found, "requests", "--reference", "REF-101")["items"][0]["id"] == late

    def test_the_history_says_who_did_what(self, found):
        request = ask(found, "person-102", actor="ann").request
        command(found, "request", "extend", request, "--reason", "many", "--months", "1")
        command(found, "request", "note", request, "--text", "-", text="a note")
        command(found, "request", "refuse", request, "--reason", "archiving")
        seen = command(found, "request", "history", request)
        did = [(entry["what"], entry["actor"], entry["reason"]) for entry in seen]
        assert did == [
            ("accepted", "ann", None),
            ("extended", "local", "many"),
            ("noted", "local", None),
            ("refused", "local", "archiving"),
        ]
        with found.storage.database.reading() as connection:
            for entry in seen:
                if entry["event"] is not None:
                    (event,) = log.entries(connection, entry["event"] - 1, 1)
                    assert (event.kind, event.text("request")) == (f"request.{entry['what']}", request)
        assert [entry["event"] is not None for entry in seen] == [True, True, False, True]

    def test_wrong_words_are_told(self, found):
        assert "--state must be one of" in command(found, "requests", "--state", "done", code=1)["message"]
        assert "such as 2026-11-03" in command(found, "requests", "--since", "yesterday", code=1)["message"]
        assert command(found, "request", "extend", "r-none", "--reason", "many", code=3)["reason"] == "unknown-request"


def test_reminders_follow_the_deadline(found):
    with found.storage.database.writing() as connection:
        hook, _secret = hooks.add(connection, "https://a.example/", "2026")
    request = ask(found, "person-110").request
    deadline = datetime.fromisoformat(row_of(found, request).deadline)

    def told(now):
        reminders.remind(found.storage, now)
        with found.storage.database.reading() as connection:
            bodies = [json.loads(made.body) for made in notices.listed(connection, hook, 100)]
        mine = [body for body in bodies if any(row["request"] == request for row in body["requests"])]
        return [body.get("days_left", body["event"]) for body in reversed(mine)][1:]  # without the one that it came

    morning = deadline.replace(hour=0, minute=1)
    assert told(morning - timedelta(days=8)) == []
    assert told(morning - timedelta(days=7)) == [7]
    handling.extend(found.storage, request, 1, "many", "ann")
    assert told(morning - timedelta(days=3)) == [7]
    assert told(datetime.fromisoformat(row_of(found, request).deadline) - timedelta(days=1)) == [7, 1]
    assert told(datetime.fromisoformat(row_of(found, request).deadline)) == [7, 1]  # the day itself counts
    assert told(datetime.fromisoformat(row_of(found, request).deadline) + timedelta(seconds=1)) == [7, 1, "request.overdue"]
    with found.storage.database.writing() as connection:
        hooks.remove(connection, hook)


def test_notes_and_references_go_with_the_term_of_the_tombstone(found, tmp_path):
    request = ask(found, "person-120", reference=SECRET[0], note=SECRET[2]).request
    refused = ask(found, "nobody at all", note=SECRET[2]).request
    kept = ask(found, "person-121", reference="REF-121", note=SECRET[2]).request
    found.process()
    with found.storage.database.writing() as connection:
        past = "2020-01-01T00:00:00+00:00"
        sealing.update(connection, table, table.c.id.in_([request, refused]), closed=past)
    assert found.process().purged == 1
    with found.storage.database.reading() as connection:
        for name in (request, refused):
            assert cases.file_of(connection, name) == cases.CaseFile() and cases.notes_of(connection, name) == []
        assert cases.file_of(connection, kept).reference == "REF-121"
        assert row_of(found, request).tombstone == "" and row_of(found, request).received_on == day(0).isoformat()
        sealing.verify(connection)
    if found.storage.database.is_sqlite:
        files = [path for path in found.storage.path.glob("ledger.sqlite*") if path.is_file()]
        assert b"she called twice" in b"".join(path.read_bytes() for path in files)  # of one whose term is not over


def test_a_restriction_is_kept_for_as_long_as_it_stands_and_its_term_begins_when_it_is_lifted(found):
    kind, case = RequestKind.RESTRICT, Case.read(reference="REF-R")
    wishes = [ForgetRequest(f"person-{number}", "ann", kind=kind, case=case) for number in (150, 151)]
    standing, lifted = (answer.request for answer in found.ask(wishes))
    found.process()
    assert {row_of(found, name).state for name in (standing, lifted)} == {RequestState.RESTRICTED}
    handling.lift(found.storage, lifted, "settled", "ann", is_informed=True)
    with found.storage.database.reading() as connection:
        assert {standing, lifted} <= set(requests.open_ids(connection, None))  # what the anchor knows, for a restore
    assert found.process().lifted == (lifted,)
    agrees_with_log(found.storage)
    long_ago = (datetime.now(UTC) - timedelta(days=5_000)).isoformat(timespec="microseconds")

    def dated(name, **times):
        with found.storage.database.writing() as connection:
            sealing.update(connection, table, table.c.id == name, **times)

    for name in (standing, lifted):
        dated(name, closed=long_ago)
    purge_tombstones(found.storage)
    assert row_of(found, standing).tombstone and row_of(found, lifted).tombstone
    dated(lifted, lifted=long_ago)
    purge_tombstones(found.storage)
    with found.storage.database.reading() as connection:
        files = cases.files_of(connection, [standing, lifted])
    assert list(files) == [standing] and row_of(found, standing).tombstone and not row_of(found, lifted).tombstone
    dated(standing, closed=datetime.now(UTC).isoformat(timespec="microseconds"))
    assert [row.id for row in registers.about(found.storage, "person-150")] == [standing]
    agrees_with_log(found.storage)
