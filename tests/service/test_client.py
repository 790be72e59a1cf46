"""The client: what its users do with a service, and what it does while the service is busy."""

import itertools
from dataclasses import dataclass, field

import httpx
import pytest

from expunge.client import Busy, Client, Refused, ServiceProblem, UnusableRows, calls
from expunge.errors import ExpungeError, RequestRefused, WorkspaceBusy
from expunge.evidence.signing import PublicKeys
from expunge.evidence.verification import verify_content
from tools.contract import ANSWERS, SERVICE, answers, document, documented, formatted


def test_a_person_is_forgotten_and_it_can_be_verified(desk):
    operator, consumer = desk("operator"), desk("consumer")
    asked = operator.ask("person-21", reference="A-1", channel="letter", key="once")
    assert operator.ask("person-21", reference="A-1", channel="letter", key="once") == asked
    closed = operator.wait_closed(asked["request"], every=0.05)
    assert closed["state"] == "closed" and closed["certificates"]
    keys = PublicKeys.in_file(consumer.keys().encode(), "keys")
    number = closed["certificates"][0]
    bundle = consumer.calls.call("GET", f"/v1/certificates/{number}", query={"request": asked["request"]}).text
    assert verify_content(bundle, keys).kind == "certificate"
    assert consumer.certificate(number, request=asked["request"])["covers"]["commitment"]
    receipt = operator.receipt(asked["request"], "person-21")
    assert verify_content(receipt, keys).kind == "receipt"
    assert consumer.verify({"a": bundle, "b": receipt})["right"]
    assert number in [found["certificate"] for found in consumer.certificates()]
    assert consumer.inclusion(3)["event"]


def test_lists_are_fetched_page_by_page(desk, anybody):
    operator = desk("operator")
    many = operator.ask_many([f"person-{i}" for i in range(30, 35)])
    assert [answer["reason"] for answer in many] == [None] * 5
    ids = {answer["request"] for answer in many}
    paged = operator.calls.pages("/v1/requests", "cursor", {"limit": 2})
    assert ids <= {found["id"] for found in paged} == {found["id"] for found in operator.requests()}
    assert [event["seq"] for event in itertools.islice(operator.events(2), 5)] == [3, 4, 5, 6, 7]
    assert all(found["state"] == "closed" for found in operator.requests(state="closed"))


def test_releases_are_followed_and_predict(desk):
    consumer, engineer = desk("consumer"), desk("engineer")
    first = consumer.release("churn")
    assert consumer.release("churn", seen=first["certificate"]) is None
    following = consumer.follow("churn", every=0.05, seen=first["certificate"])
    done = engineer.wait(engineer.start("models/churn/refit"), every=0.05)
    assert done["state"] == "done"
    newer = next(following)
    assert newer["release"] > first["release"] and newer["certificate"] in [
        r["certificate"] for r in engineer.releases("churn")
    ]
    predicted = consumer.predict("churn", [{"age": 41, "job": "nurse", "tenure": 3}])
    assert predicted["items"][0]["prediction"] in ("yes", "no")
    assert {model["name"] for model in engineer.models()} == {"churn", "spend", "visits"}
    assert engineer.model("churn")["release"] >= newer["release"] and "forecasts" in engineer.capacity("churn")
    assert engineer.health()["worker"] == "ok"


def test_problems_are_the_errors_of_the_library(desk):
    with pytest.raises(RequestRefused) as unknown:
        desk("operator").ask("nobody-1")
    assert isinstance(unknown.value, Refused) and unknown.value.reason == unknown.value.type == "unknown-subject"
    with pytest.raises(ServiceProblem, match="not allowed") as forbidden:
        desk("consumer").models()
    assert (forbidden.value.type, forbidden.value.status) == ("not-allowed", 403) and isinstance(forbidden.value, ExpungeError)
    with pytest.raises(ServiceProblem) as invalid:
        desk("operator").calls.call("POST", "/v1/requests", body={})
    assert invalid.value.type == "invalid-request" and invalid.value.document["errors"]
    with pytest.raises(UnusableRows):
        desk("consumer").predict("churn", [{"age": 41}])


@dataclass
class Script:
    """A server that answers what it is told to, one after the other."""

    answers: list
    seen: list = field(default_factory=list)

    def client(self, **about):
        def answer(request):
            self.seen.append((request.method, request.headers.get("idempotency-key")))
            following = self.answers.pop(0)
            if isinstance(following, Exception):
                raise following
            return following

        return Client("", "t", http=httpx.Client(transport=httpx.MockTransport(answer), base_url="http://desk"), **about)


def problem(kind, status, **headers):
    body = {"type": f"/desk/problems/{kind}", "title": "t", "status": status, "detail": "d"}
    return httpx.Response(status, json=body, headers=headers)


@pytest.fixture
def waited(monkeypatch):
    times = list[float]()
    monkeypatch.setattr("time.sleep", times.append)
    return times


def test_what_may_be_repeated_is_repeated_as_late_as_the_service_says(waited):
    fine = httpx.Response(200, json={"items": [], "request": "r-1"})
    script = Script(
        [problem("stopping", 503, **{"Retry-After": "30"}), problem("too-many-requests", 429), httpx.ConnectError("no"), fine]
    )
    assert script.client().models() == []
    assert waited[0] == 30 and len(waited) == 3 and max(waited[1:]) <= 2
    script = Script([problem("stopping", 503, **{"Retry-After": "9999"}), fine])
    assert script.client().ask("17")["request"] == "r-1"
    assert waited[-1] == calls.LONGEST and len({key for _method, key in script.seen}) == 1 and script.seen[0][1]


def test_what_may_not_be_repeated_is_not(waited):
    for wrong, error in (
        (problem("unavailable", 503), ServiceProblem),
        (problem("busy", 409), WorkspaceBusy),
        (problem("busy", 409), Busy),
        (httpx.Response(502, text="<html>"), ServiceProblem),
        (httpx.ConnectError("no"), httpx.ConnectError),
    ):
        script = Script([wrong])
        with pytest.raises(error):
            script.client().start("models/churn/refit")
        assert len(script.seen) == 1
    script = Script([problem("unavailable", 503)] * 2)
    with pytest.raises(ServiceProblem, match="d"):
        script.client(attempts=2).models()
    assert waited == [1.0]


def test_the_types_are_those_of_the_service():
    """If this fails: python -m tools.contract."""
    for tag, text in answers(document()).items():
        assert (ANSWERS / f"{tag}.py").read_text() == formatted(text), tag


def test_the_page_of_the_service_has_the_table_of_problems():
    """If this fails: python -m tools.contract."""
    assert SERVICE.read_text() == documented(SERVICE.read_text())
