"""Replays: a call with an idempotency key that comes again gets its first answer, and the ledger holds no id because of it."""

import pytest
import sqlalchemy as sa

from expunge.errors import Refusal
from expunge.ledger import tables
from expunge.ledger.requests import RequestState
from expunge.workspace import desk
from expunge.workspace.asking import Call, ForgetRequest
from expunge.workspace.forgetting import purge_tombstones
from tests.workspace.people import workspace


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("replays"), models=False)


def bulk(found, key, subjects, **how):
    call = Call(key)
    return desk.ask(found.storage, [ForgetRequest(subject, "ann", call=call, **how) for subject in subjects])


def same(one, other):
    told = [[vars(answer) | {"is_replayed": True} for answer in answers] for answers in (one, other)]
    return told[0] == told[1]


def test_the_first_answer_comes_again_with_its_receipt_whatever_has_happened_since(found):
    subjects = ["person-1", "nobody", "PERSON-2", "person-1", "person-2"]
    first = bulk(found, "k1", subjects)
    assert [answer.reason for answer in first[1:3]] == [Refusal.UNKNOWN_SUBJECT] * 2 and first[2].near == "case"
    assert first[0].receipt and first[4].receipt and first[3].receipt is None
    again = bulk(found, "k1", subjects)
    assert same(first, again) and again[0].is_replayed and not first[0].is_replayed
    found.process()
    assert same(first, bulk(found, "k1", subjects))
    fresh = bulk(found, "k2", subjects)
    assert fresh[0].reason == Refusal.ALREADY_FORGOTTEN
    assert same(fresh, bulk(found, "k2", subjects))


def test_one_wish_with_a_key(found):
    wish = ForgetRequest("person-10", "ann", "ann:one")
    (first,) = desk.ask(found.storage, [wish])
    together = desk.ask(found.storage, [wish, wish, ForgetRequest("person-10", "ann")])
    assert same([first, first], together[:2]) and together[2].receipt is None
    (other,) = desk.ask(found.storage, [ForgetRequest("person-11", "ann", "ann:one")])
    assert other.reason == Refusal.KEY_REUSED


def test_two_calls_that_arrive_together(found):
    calls = [Call("k3"), Call("k3")]
    wishes = [ForgetRequest(subject, "ann", call=call) for call in calls for subject in ("person-20", "person-21")]
    answers = desk.ask(found.storage, wishes)
    assert same(answers[:2], answers[2:]) and answers[2].is_replayed


@pytest.mark.parametrize("subjects", [["person-30"], ["person-31", "person-30"], ["person-30", "person-31", "person-32"]])
def test_another_body_is_refused_and_accepts_nothing(found, subjects):
    bulk(found, "k4", ["person-30", "person-31"])
    refused = bulk(found, "k4", subjects)
    assert {answer.reason for answer in refused} == {Refusal.KEY_REUSED} and len(refused) == len(subjects)
    assert {answer.receipt for answer in refused} == {None}
    with found.storage.database.reading() as connection:
        mine = sa.select(sa.func.count()).select_from(tables.requests).where(tables.requests.c.state == RequestState.ACCEPTED)
        before = connection.execute(mine).scalar()
    bulk(found, "k4", subjects, by="who")
    with found.storage.database.reading() as connection:
        assert connection.execute(mine).scalar() == before


def test_the_ledger_holds_no_id_and_no_salt(found):
    (answer, *_) = bulk(found, "person-40", ["person-40"])
    assert answer.receipt
    with found.storage.database.reading() as connection:
        listed = [str(dict(row._mapping)) for row in connection.execute(sa.select(tables.answers))]
    assert listed and not any("person-" in text or "salt" in text for text in listed)


def test_what_may_be_over_is_asked_afresh(found, monkeypatch):
    monkeypatch.setitem(found.storage.configuration.__dict__, "requests_per_day", 0)
    assert bulk(found, "k5", ["person-50"])[0].reason == Refusal.LIMIT
    monkeypatch.setitem(found.storage.configuration.__dict__, "requests_per_day", 1000)
    assert bulk(found, "k5", ["person-50"])[0].receipt


def test_answers_go_at_the_end_of_their_term(found, monkeypatch):
    bulk(found, "k6", ["person-60"])
    monkeypatch.setitem(found.storage.configuration.__dict__, "tombstone_days", -1)
    with found.storage.exclusive():
        purge_tombstones(found.storage)
    with found.storage.database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.answers)).scalar() == 0
