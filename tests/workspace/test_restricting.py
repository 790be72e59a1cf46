"""Restriction of processing: the models forget a person, the rows stay, and are learned again when it is lifted."""

import csv
import io
import json

import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.errors import RequestRefused
from expunge.evidence.statements import predicate_of
from expunge.ledger import cases, releases, requests
from expunge.ledger.register import Filter
from expunge.ledger.requests import Basis, RequestKind, RequestState
from expunge.workspace import handling
from expunge.workspace import register as registers
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.auditing import audited
from expunge.workspace.cases import Case, WrongField
from tests.workspace.people import CLASSES, SCHEMA, append_rows, people, workspace
from tests.workspace.test_casework import setting
from tests.workspace.test_workspace import problems

MODEL = "churn"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A workspace with models, whose tests restrict different people."""
    return workspace(tmp_path_factory.mktemp("restricting"))


def ask(found, subject, kind=RequestKind.RESTRICT, ground=Basis.ACCURACY, **case):
    wish = ForgetRequest(subject, "ann", case=Case.read(**case), kind=kind, ground=None if kind != "restrict" else ground)
    (answer,) = found.ask([wish])
    return answer


def restricted(found, subject):
    """The id of a restriction that stands."""
    answer = ask(found, subject)
    assert found.process().requests == (answer.request,)
    return answer.request


def state(found, request):
    with found.storage.database.reading() as connection:
        return requests.by_id(connection, request).state


def knows(found, subject):
    """The models that have rows of a person, by the ledger."""
    return {learned.model for learned in found.show(subject).models}


def weights(found, name):
    with found.storage.database.reading() as connection:
        return releases.current(connection, name).figures.remaining


def test_while_it_stands_the_rows_stay_and_no_model_has_them(found, tmp_path):
    n_rows, before = found.storage.table.count(), weights(found, MODEL)
    answer = ask(found, "person-1", received_on="2026-11-03", channel="letter")
    shown = found.show("person-1")
    assert knows(found, "person-1") == {"churn", "spend", "visits"} and shown.restrictions[0].since is None
    assert found.process().requests == (answer.request,)
    shown = found.show("person-1")
    (restriction,) = shown.restrictions
    assert shown.models == [] and restriction.state == RequestState.RESTRICTED and restriction.ground == Basis.ACCURACY
    assert found.storage.table.count() == n_rows and len(shown.rows) == before - weights(found, MODEL) > 0
    assert problems(found) == {}  # the models hold the rows of the table but hers, and are as near as they are certified to be
    audit = audited(found.storage, MODEL, 100)
    assert audit.verdict.is_honest  # against a model that never saw her
    found.refit(MODEL)
    found.fit("second", "churn", sigma=0.05)
    found.replace("second", sigma=0.05)
    assert knows(found, "person-1") == set() and weights(found, "second") == weights(found, MODEL) < before
    assert problems(found) == {}
    for number in requests_releases(found, answer.request):
        assert number in {each.certificate for each in registers.history(found.storage, answer.request)}
    found.retire("second")
    assert state(found, answer.request) == RequestState.RESTRICTED
    handling.lift(found.storage, answer.request, "settled", "ann", is_informed=True)
    found.process()


def requests_releases(found, request):
    with found.storage.database.reading() as connection:
        return requests.releases_of(connection, requests.by_id(connection, request))


def test_once_it_is_lifted_every_model_learns_the_rows_again(found):
    before, request = weights(found, MODEL), restricted(found, "person-2")
    with pytest.raises(WrongField, match="told before"):
        handling.lift(found.storage, request, "settled", "ann", is_informed=False)
    handling.lift(found.storage, request, "settled", "ann", is_informed=True)
    assert state(found, request) == RequestState.LIFTING and knows(found, "person-2") == set()
    with pytest.raises(RequestRefused, match="only a restriction that stands"):
        handling.lift(found.storage, request, "settled", "ann", is_informed=True)
    done = found.process(is_due=True)  # as the service does
    assert done.lifted == (request,) and {made.release.certificate.n_learned > 0 for made in done.outcomes} == {True}
    assert knows(found, "person-2") == {"churn", "spend", "visits"} and weights(found, MODEL) == before
    with found.storage.database.reading() as connection:
        row = requests.by_id(connection, request)
    assert (row.state, row.subject, row.reason) == (RequestState.LIFTED, None, "settled") and row.lifted > row.closed
    assert problems(found) == {}
    whats = [str(entry.what) for entry in registers.history(found.storage, request)]
    assert whats == ["accepted", "certified", "certified", "certified", "restricted", "lifted", "learned-again"]
    assert found.show("person-2").restrictions == []
    again = ask(found, "person-2")
    assert again.state == RequestState.ACCEPTED and again.request != request
    handling.withdraw(found.storage, again.request, "person", "ann")


def test_rows_that_come_meanwhile_are_stored_and_learned_when_it_is_lifted(found, tmp_path):
    before, request = weights(found, MODEL), restricted(found, "person-3")
    n_rows, theirs = found.storage.table.count(), len(found.show("person-3").rows)
    done = found.append(append_rows(tmp_path, ["person-3", "new-1"]))
    assert (done.rows, done.arrived.restricted) == (2, 1)
    assert "1 rows are stored, but not learned" in " ".join(done.arrived.sentences)
    assert found.storage.table.count() == n_rows + 2 and weights(found, MODEL) == before - theirs + 1
    found.rectify("person-3", append_rows(tmp_path, ["person-3", "person-3"]))  # that is what many a restriction is for
    assert len(found.show("person-3").rows) == 2 and weights(found, MODEL) == before - theirs + 1
    assert problems(found) == {}
    handling.lift(found.storage, request, "settled", "ann", is_informed=True)
    found.process()
    assert weights(found, MODEL) == before - theirs + 3 and problems(found) == {}


def test_who_is_erased_is_restricted_no_more(found):
    request, other = restricted(found, "person-4"), ask(found, "person-5").request
    answer = ask(found, "person-4", RequestKind.FORGET)
    assert f"restriction of processing in request {request} ends" in answer.message
    late = ask(found, "person-5", RequestKind.FORGET)
    done = found.process()
    assert {answer.request, late.request} <= set(done.requests) and problems(found) == {}
    with found.storage.database.reading() as connection:
        ended = [requests.by_id(connection, name) for name in (request, other)]
    assert {row.state for row in ended} == {RequestState.LIFTED} and {row.reason for row in ended} == {cases.ERASED}
    assert {row.subject for row in ended} == {None}
    assert registers.history(found.storage, request)[-1].what == cases.ERASED
    refused = ask(found, "person-4")
    assert refused.reason == "already-forgotten"


def test_answers_are_definite(found):
    first = ask(found, "person-6")
    assert ask(found, "person-6").request == first.request
    erasure = ask(found, "person-7", RequestKind.FORGET)
    assert ask(found, "person-7").reason == "being-forgotten"
    assert ask(found, "nobody").reason == "unknown-subject"
    handling.withdraw(found.storage, erasure.request, "person", "ann")
    assert ask(found, "person-7").state == RequestState.ACCEPTED
    with pytest.raises(WrongField, match="no-ground, unfounded, excessive"):
        handling.refuse(found.storage, first.request, "legal-claims", "ann")
    handling.refuse(found.storage, first.request, "no-ground", "ann")
    assert state(found, first.request) == RequestState.REFUSED
    said = predicate_of(json.loads(ask(found, "person-8").receipt)["envelope"])
    assert said["kind"] == "restrict"
    found.process()


def test_a_model_that_is_set_aside_keeps_it_from_ending_and_says_so(found):
    request = restricted(found, "person-9")
    path = next((found.storage.models / MODEL).glob("*.safetensors"))
    kept = path.read_bytes()
    path.write_bytes(b"damaged")
    ask(found, "person-10", RequestKind.FORGET)
    found.process()
    handling.lift(found.storage, request, "person", "ann", is_informed=True)
    done = found.process()
    assert not done.lifted and f"model {MODEL} is set aside" in done.problems[request]
    assert state(found, request) == RequestState.LIFTING and knows(found, "person-9") == set()
    path.write_bytes(kept)
    assert found.process().lifted == (request,) and problems(found) == {}


def test_the_register_and_the_command_line(found, tmp_path):
    def command(*arguments, code=0):
        run = CliRunner().invoke(app, [*arguments, "-w", str(found.storage.path), "--json"])
        assert run.exit_code == code, run.output
        return json.loads(run.stdout)

    how = ("--ground", "objection", "--received-on", "2026-11-03", "--receipts", str(tmp_path / "r"))
    (made,) = command("restrict", "person-11", *how)
    assert (tmp_path / "r" / f"{made['request']}.json").exists()
    assert command("process")["closed"] == 1
    listed = command("requests", "--state", "restricted", "--kind", "restrict")["items"]
    assert listed[0]["id"] == made["request"] and {row["kind"] for row in listed} == {"restrict"}
    (told,) = command("show", "person-11")["restrictions"]
    assert (told["request"], told["ground"]) == (made["request"], "objection")
    (line,) = [
        row
        for row in csv.DictReader(io.StringIO("".join(registers.as_csv(found.storage, Filter(kind=RequestKind.RESTRICT)))))
        if row["request"] == made["request"]
    ]
    assert (line["outcome"], line["ground"], line["lifted_on"]) == ("done", "objection", "")
    command("request", "lift", made["request"], "--reason", "settled", code=1)  # nobody was told
    assert command("request", "lift", made["request"], "--reason", "settled", "--informed")["state"] == "lifting"
    assert made["request"] in command("process", "--dry-run")["lifted"]
    assert command("process")["lifted"] == [made["request"]]
    command("restrict", "person-11", "--ground", "weather", code=1)


def test_it_is_held_and_can_be_withdrawn_like_any_request(found):
    waiting = setting(found, hold_hours=2)
    request = ask(waiting, "person-12").request
    assert request in waiting.process(heeds_hold=True).held
    waiting.refit(MODEL)
    assert knows(waiting, "person-12") == {"churn", "spend", "visits"}  # as if nobody had asked
    handling.withdraw(waiting.storage, request, "mistake", "ann")
    setting(found, hold_hours=0)


def test_rows_that_a_model_cannot_learn_again_keep_their_restriction_and_no_other(tmp_path):
    table = people(60, 40)
    only = pc.if_else(pc.equal(table["who"], "person-0"), "maybe", table["churn"])
    schema = SCHEMA + CLASSES.replace('"yes"]', '"yes", "maybe"]')
    found = workspace(tmp_path, models=False, table=table.set_column(4, "churn", only), schema=schema)
    found.fit(MODEL, "churn", sigma=0.05)
    last, other = ask(found, "person-0").request, ask(found, "person-1").request
    assert "expunge replace" in found.process().problems[last]  # hers are the last rows of their class
    assert state(found, other) == RequestState.RESTRICTED and knows(found, "person-0") == {MODEL}
    found.storage.schema_path.write_text(SCHEMA + CLASSES)
    found.replace(MODEL, sigma=0.05)
    assert state(found, last) == RequestState.RESTRICTED and knows(found, "person-0") == set()
    for request in (last, other):
        handling.lift(found.storage, request, "settled", "ann", is_informed=True)
    done = found.process()
    assert done.lifted == (other,) and "maybe" not in done.problems[last] and "churn" in done.problems[last]
    assert (state(found, last), knows(found, "person-0"), knows(found, "person-1")) == (RequestState.LIFTING, set(), {MODEL})
    assert found.process(is_due=True).lifted == () and problems(found) == {}  # it is tried again later
    found.replace(MODEL, sigma=0.05)  # leaves them out, because the restriction stands
    found.retire(MODEL)
    assert found.process().lifted == (last,) and problems(found) == {}
