"""Requests as an office handles them, over HTTP and on the pages: entered, checked, held, approved, extended, found."""

import csv
import io
import re

import openpyxl
import pytest
from fastapi.testclient import TestClient

from expunge.ledger import register, requests, sealing, tokens
from expunge.ledger.requests import RequestState
from expunge.ledger.tables import requests as table
from expunge.service.app import create_app
from expunge.workspace import Workspace, handling
from tests.service.test_api import wait_for
from tests.workspace.people import workspace


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A service that holds requests and wants two people for more than three, with two operators and an engineer."""
    made = workspace(tmp_path_factory.mktemp("casework"), models=False)
    path = made.storage.configuration_path
    path.write_text(
        path.read_text().replace("hold_hours = 0", "hold_hours = 2").replace("approval_people = 0", "approval_people = 3")
    )
    found = Workspace.open(made.storage.path)
    with found.storage.database.writing() as connection:
        token = {name: tokens.issue(connection, name, role) for name, role in PEOPLE.items()}
    with TestClient(create_app(found, every=3600.0), follow_redirects=False) as client:
        yield Desk(client, token)


PEOPLE = {"Ann": "operator", "Bob": "operator", "Eve": "engineer", "Olga": "auditor"}


class Desk:
    """Calls with somebody's token, and their forms."""

    def __init__(self, client, token):
        self.client, self.token, self.who = client, token, None

    def call(self, who, method, path, **more):
        return self.client.request(method, f"/v1{path}", headers={"Authorization": f"Bearer {self.token[who]}"}, **more)

    def make(self, subject, who="Ann", **more):
        answer = self.call(who, "POST", "/requests", json={"subject": subject, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["request"]

    def get(self, who, path):
        self._log_in(who)
        return self.client.get(path)

    def send(self, who, path, data=None, files=None):
        self._log_in(who)
        return self.client.post(path, data={"csrf": self.csrf, **(data or {})}, files=files)

    def _log_in(self, who):
        if who == self.who:
            return
        self.client.cookies.clear()
        assert self.client.post("/login", data={"token": self.token[who]}).status_code == 303
        self.who, self.csrf = who, re.search('name="csrf" value="([^"]+)"', self.client.get("/").text)[1]


def text(answer):
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", answer.text.partition("<main")[2]))


class TestTheApi:
    def test_a_request_as_it_came(self, desk):
        request = desk.make(
            "person-1", received_on="2026-01-31", channel="letter", reference="A-17", checked_by="Eve", note="hm"
        )
        shown = desk.call("Olga", "GET", f"/requests/{request}").json()
        assert (shown["deadline"][:10], shown["days_left"] < 0, shown["channel"]) == ("2026-02-28", True, "letter")
        assert (shown["reference"], shown["checked_by"], shown["notes"][0]["text"]) == ("A-17", "Eve", "hm")
        assert shown["hold"] is not None and shown["state"] == "accepted"
        assert "reference" not in desk.call("Eve", "GET", f"/requests/{request}").json()  # no need of hers
        sought = desk.call("Ann", "POST", "/requests/search", json={"subject": "person-1"}).json()
        assert [row["id"] for row in sought["items"]] == [request]
        assert desk.call("Ann", "POST", "/requests/search", json={"text": "A-17"}).json()["total"] == 1
        late = desk.call("Olga", "GET", "/requests?matter=overdue&channel=letter&sort=due").json()
        assert request in [row["id"] for row in late["items"]]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/requests", {"subject": "person-2", "received_on": "2126-01-01"}),
            ("/requests", {"subject": "person-2", "received_on": "yesterday"}),
            ("/requests", {"subject": "person-2", "channel": "pigeon"}),
            ("/requests", {"subject": "person-2", "reference": "x" * 201}),
            ("/requests", {"subject": "person-2", "note": "a\u0007b"}),
            ("/requests/search", {}),
            ("/requests/search", {"subject": "a", "text": "b"}),
            ("/requests/r-1/extend", {"months": 3, "reason": "many"}),
            ("/requests/r-1/extend", {"months": 1, "reason": "holiday"}),
            ("/requests/r-1/refuse", {"reason": "no"}),
            ("/requests/r-1/cancel", {"reason": "no"}),
            ("/requests/r-1/notes", {"text": ""}),
        ],
    )
    def test_what_is_wrong_is_422(self, path, body, desk):
        answer = desk.call("Ann", "POST", path, json=body)
        assert answer.status_code == 422 and answer.headers["content-type"].startswith("application/problem+json")

    def test_what_an_officer_does(self, desk):
        request = desk.make("person-3")
        first = desk.call("Ann", "GET", f"/requests/{request}").json()["deadline"]
        made = desk.call("Ann", "POST", f"/requests/{request}/extend", json={"months": 2, "reason": "complexity"}).json()
        assert made["deadline"] > first
        again = desk.call("Ann", "POST", f"/requests/{request}/extend", json={"months": 1, "reason": "many"})
        assert (again.status_code, again.json()["reason"]) == (409, "extended-before")
        assert desk.call("Ann", "POST", f"/requests/{request}/notes", json={"text": "told her"}).status_code == 204
        refused = desk.call("Bob", "POST", f"/requests/{request}/refuse", json={"reason": "legal-obligation"})
        assert refused.status_code == 204
        history = desk.call("Olga", "GET", f"/requests/{request}/history").json()["items"]
        assert [(entry["what"], entry["who"]) for entry in history] == [
            ("accepted", "Ann"),
            ("extended", "Ann"),
            ("noted", "Ann"),
            ("refused", "Bob"),
        ]
        assert desk.call("Ann", "POST", f"/requests/{request}/cancel").json()["reason"] == "too-late"
        for path in ("extend", "refuse", "notes"):
            body = {"extend": {"months": 1, "reason": "many"}, "refuse": {"reason": "excessive"}, "notes": {"text": "x"}}[path]
            assert desk.call("Ann", "POST", f"/requests/r-none/{path}", json=body).status_code == 404
        assert desk.call("Ann", "GET", "/requests/r-none/history").status_code == 404

    def test_many_need_a_second_person(self, desk):
        people = [f"person-{n}" for n in range(10, 14)]
        answers = desk.call("Ann", "POST", "/requests/bulk", json={"subjects": people, "channel": "form"}).json()
        ids = {answer["request"] for answer in answers}
        waiting = desk.call("Bob", "GET", "/requests?matter=approval").json()
        assert {row["id"] for row in waiting["items"]} == ids and all(row["needs_approval"] for row in waiting["items"])
        one = min(ids)
        own = desk.call("Ann", "POST", f"/requests/{one}/approve")
        assert (own.status_code, own.json()["reason"]) == (403, "own-request")
        assert desk.call("Eve", "POST", f"/requests/{one}/approve").status_code == 403
        assert set(desk.call("Bob", "POST", f"/requests/{one}/approve").json()["requests"]) == ids
        assert desk.call("Bob", "POST", f"/requests/{one}/approve").json()["reason"] == "nothing-to-approve"

    def test_pages_of_the_register_and_its_totals(self, desk):
        whole = desk.call("Olga", "GET", "/requests?limit=500&sort=oldest").json()
        assert whole["total"] == len(whole["items"]) and whole["next"] is None
        seen, cursor = list[str](), ""
        while cursor is not None:
            page = desk.call("Olga", "GET", f"/requests?limit=3&sort=oldest{cursor and '&cursor=' + cursor}").json()
            seen, cursor = [*seen, *(row["id"] for row in page["items"])], page["next"]
            assert page["total"] == whole["total"]
        assert seen == [row["id"] for row in whole["items"]]
        other = desk.call("Olga", "GET", "/requests?limit=3&sort=newest").json()["next"]
        assert desk.call("Olga", "GET", f"/requests?sort=due&cursor={other}").status_code == 422
        assert desk.call("Olga", "GET", "/requests?since=soon").status_code == 422

    def test_the_evidence_as_csv(self, desk):
        answer = desk.call("Olga", "GET", "/requests/export?channel=form")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert answer.headers["content-type"].startswith("text/csv") and {row["channel"] for row in rows} == {"form"}
        assert "person-" not in answer.text and "A-17" not in answer.text


class TestThePages:
    def test_today_says_it_in_one_sentence(self, desk):
        desk.make("person-20", received_on="2026-01-01")
        shown = desk.get("Ann", "/")
        sentence = re.search(r'id="sentence">(.*?)</p>', shown.text, re.S)[1]
        assert "overdue" in sentence and shown.text.count('class="button"') == 1
        assert 'href="/requests/new">New request' in shown.text
        assert 'class="button"' not in desk.get("Eve", "/").text

    def test_a_wrong_form_keeps_what_was_typed(self, desk):
        given = {
            "subject": "person-21\nperson-22",
            "received_on": "2126-01-01",
            "channel": "email",
            "reference": "B-1",
            "note": "n",
        }
        shown = desk.send("Ann", "/requests/preview", given)
        assert shown.status_code == 422 and 'href="#received_on"' in shown.text
        field = re.search(r'<input id="received_on"[^>]*>', shown.text)[0]
        assert 'aria-invalid="true"' in field and "autofocus" in field and shown.text.count("autofocus") == 1
        assert "person-21\nperson-22</textarea>" in shown.text and 'value="B-1"' in shown.text
        assert '<option value="email" selected>' in shown.text
        empty = desk.send("Ann", "/requests/preview", {})
        assert empty.status_code == 422 and 'href="#subject"' in empty.text

    def test_a_spreadsheet_is_shown_and_read_again_another_way(self, desk):
        book = openpyxl.Workbook()
        for row in (["name", "customer"], ["Ann", "person-30"], ["Bob", "Person-31"], ["Cid", "none"], ["Dan", "person-1"]):
            book.active.append(row)
        content = io.BytesIO()
        book.save(content)
        files = {"upload": ("ids.xlsx", content.getvalue())}
        shown = desk.send("Ann", "/requests/preview", {"channel": "form"}, files)
        assert (
            shown.status_code == 422 and "The list has 2 columns: give the heading" in shown.text and "person-30" in shown.text
        )
        assert "Make the request" not in shown.text
        draft = re.search('name="draft" value="([^"]+)"', shown.text)[1]
        wrong = desk.send("Ann", "/requests/preview", {"draft": draft, "column": "client"})
        assert wrong.status_code == 422 and "names 0 columns" in text(wrong)
        draft = re.search('name="draft" value="([^"]+)"', desk.send("Ann", "/requests/preview", {}, files).text)[1]
        shown = desk.send("Ann", "/requests/preview", {"draft": draft, "column": "customer"})
        said = text(shown)
        assert "1 of 4 is to be forgotten" in said
        for part in ("1 found, and to be forgotten line 2:", "1 not known here, but nearly line 3:", "1 not known here line 4"):
            assert part in said
        assert "1 asked before line 5: requested before, on 31 Jan 2026" in said
        draft = re.search('name="draft" value="([^"]+)"', shown.text)[1]
        made = desk.send("Ann", "/requests", {"draft": draft})
        assert made.status_code == 201 and "1 of 4 accepted" in text(made)
        assert desk.send("Ann", "/requests", {"draft": draft}).status_code == 422

    def test_a_request_from_its_first_sentence_to_its_withdrawal(self, desk):
        request = desk.make("person-40", channel="letter")
        shown = text(desk.get("Ann", f"/requests/{request}"))
        assert re.search(
            r"Received \d+ \w+ 2026 by letter, due .* left\. It can be withdrawn until .* and is worked then\.", shown
        )
        early = desk.send("Ann", f"/requests/{request}/cancel", {"reason": "person"})
        assert early.status_code == 422 and "Tick the box" in early.text and early.text.count("autofocus") == 1
        assert desk.send("Ann", f"/requests/{request}/extend", {"months": "9", "reason": "many"}).status_code == 422
        assert desk.send("Ann", f"/requests/{request}/extend", {"months": "1", "reason": "many"}).status_code == 303
        assert desk.send("Ann", f"/requests/{request}/extend", {"months": "1", "reason": "many"}).status_code == 409
        typed = desk.send("Ann", f"/requests/{request}/note", {"text": "a\x07b"})
        assert typed.status_code == 422 and "a\x07b</textarea>" in typed.text
        assert desk.send("Ann", f"/requests/{request}/note", {"text": "<b>bold</b>"}).status_code == 303
        done = desk.send("Ann", f"/requests/{request}/cancel", {"reason": "duplicate", "confirm": "yes"})
        assert done.status_code == 303
        page = desk.get("Ann", f"/requests/{request}")
        assert "&lt;b&gt;bold" in page.text and "hx-get" not in page.text
        assert "withdrawn" in text(page) and "it was entered twice" in text(page)
        assert "bold" not in desk.get("Eve", f"/requests/{request}").text
        assert desk.get("Ann", "/requests/r-none").status_code == 404

    def test_a_restriction_that_is_not_carried_out_is_said_where_the_person_is_shown(self, desk):
        request = desk.make("person-60", kind="restrict", ground="unlawful")
        said = text(desk.send("Ann", "/people", {"subject": "person-60"}))
        assert "which is not done yet: the models below still have these rows" in said and "does not want erasure" in said
        page = text(desk.get("Ann", f"/requests/{request}"))
        assert "Nothing is restricted then" in page and "none of the grounds of Art. 18(1)" in page and "expression" not in page
        answer = desk.send("Ann", f"/requests/{request}/refuse", {"reason": "no-ground", "confirm": "yes"})
        assert answer.status_code == 303 and "refused" in desk.get("Ann", f"/requests/{request}").text
        letter = text(desk.send("Ann", f"/requests/{request}/documents", {"subject": "person-60", "form": "letter"}))
        assert "You asked us to restrict the processing of your data. We have refused that" in letter

    def test_two_people_approve(self, desk):
        people = "\n".join(f"person-{n}" for n in range(50, 54))
        shown = desk.send("Ann", "/requests/preview", {"subject": people})
        assert "a second person has to approve" in shown.text
        made = desk.send("Ann", "/requests", {"draft": re.search('name="draft" value="([^"]+)"', shown.text)[1]})
        request = re.search(r"/requests/(r-[0-9a-f]+)", made.text)[1]
        assert desk.send("Ann", f"/requests/{request}/approve").status_code == 403
        assert desk.send("Bob", f"/requests/{request}/approve").status_code == 303
        assert "Approved, by Bob" in text(desk.get("Bob", f"/requests/{request}"))

    def test_the_register_is_filtered_in_the_url_and_searched_without_one(self, desk):
        shown = desk.get("Olga", "/requests?state=cancelled&sort=oldest")
        assert shown.status_code == 200 and 'class="cards"' in shown.text and 'action="/requests/search"' not in shown.text
        assert desk.get("Olga", "/requests?state=accepted&page=99999").status_code == 200
        assert desk.get("Olga", "/requests?state=none&page=x&sort=y").status_code == 200
        wrong = desk.get("Olga", "/requests?since=soon")
        assert wrong.status_code == 422 and 'href="#since"' in wrong.text
        found = desk.send("Ann", "/requests/search", {"subject": "person-1"})
        assert found.status_code == 200 and text(found).count(" r-") == 1
        nobody = desk.send("Ann", "/requests/search", {"subject": "nobody"})
        assert "No request was found" in nobody.text and 'value="nobody"' in nobody.text
        assert desk.send("Ann", "/requests/search", {}).status_code == 422
        assert desk.send("Olga", "/requests/search", {"text": "A-17"}).status_code == 403
        rows = list(csv.DictReader(io.StringIO(desk.get("Olga", "/requests/register.csv?state=cancelled").text)))
        assert {row["state"] for row in rows} == {RequestState.CANCELLED} and {row["reason"] for row in rows} == {"duplicate"}


def test_the_worker_waits_for_the_hold_and_for_the_second_person(tmp_path):
    made = workspace(tmp_path, models=False)
    path = made.storage.configuration_path
    settings = path.read_text().replace("hold_hours = 0", "hold_hours = 2")
    path.write_text(settings.replace("approval_people = 0", "approval_people = 1"))
    found = Workspace.open(made.storage.path)
    (held,) = found.forget(["person-1"])
    unapproved = found.forget(["person-2", "person-3"])
    app = create_app(found, every=0.1)
    with TestClient(app):
        worker = app.state.worker
        first = worker.health.last_round
        assert wait_for(lambda: (worker.health.last_round - first).total_seconds() >= 0.2)  # it has looked, twice or more
        with found.storage.database.reading() as connection:
            assert register.counts(connection) == {RequestState.ACCEPTED: 3}
        with found.storage.database.writing() as connection:
            sealing.update(connection, table, table.c.hold.is_not(None), hold="2026-01-01T00:00:00.000000+00:00")
        assert wait_for(lambda: _state(found, held.request) == RequestState.CLOSED)
        assert _state(found, unapproved[0].request) == RequestState.ACCEPTED
        handling.approve(found.storage, unapproved[0].request, "somebody else")
        assert wait_for(lambda: {_state(found, answer.request) for answer in unapproved} == {RequestState.CLOSED})


def _state(found, request):
    with found.storage.database.reading() as connection:
        return requests.by_id(connection, request).state
