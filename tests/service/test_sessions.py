"""Sessions: they end on the server, for every instance; what was asked for and typed survives logging in again."""

import re
import tempfile

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from expunge.errors import LedgerCorrupt, WorkspaceInvalid
from expunge.ledger import tokens
from expunge.ledger.tables import sessions
from expunge.service import access, pages, tallies
from expunge.service.app import create_app
from expunge.service.routing import OPEN_BODY_BYTES
from expunge.service.tallies import Tally
from tests.workspace.people import workspace

pytestmark = pytest.mark.usefixtures("anybody")  # so that the service runs


@pytest.fixture(scope="module")
def elsewhere(found):
    """Another instance on the same ledger."""
    with TestClient(create_app(found, every=60), follow_redirects=False) as client:
        yield client


def logged_in(app, token, role="operator"):
    client = TestClient(app, follow_redirects=False)
    assert client.post("/login", data={"token": token[role]}).status_code == 303
    return client, re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)[1]


def test_logging_out_ends_the_session_for_every_instance_whoever_kept_the_cookie(app, elsewhere, token):
    client, csrf = logged_in(app, token)
    cookie = dict(client.cookies)
    thief = TestClient(elsewhere.app, cookies=cookie)
    assert thief.get("/").status_code == 200
    other, _csrf = logged_in(app, token)
    assert client.post("/logout", data={"csrf": csrf}).status_code == 303
    assert thief.get("/").status_code == TestClient(app, cookies=cookie).get("/").status_code == 401
    assert other.get("/").status_code == 200  # another session of the same token


def test_revoking_a_token_ends_its_sessions_at_once(found, app, elsewhere):
    with found.storage.database.writing() as connection:
        mine = tokens.issue(connection, "Bob", "auditor")
    client, _csrf = logged_in(app, {"operator": mine})
    with found.storage.database.writing() as connection:
        assert tokens.revoke(connection, mine.split("_")[1])
    assert client.get("/").status_code == TestClient(elsewhere.app, cookies=dict(client.cookies)).get("/").status_code == 401


def test_a_session_that_was_altered_is_found_before_the_service_starts(found, app, token):
    logged_in(app, token)
    engine = sa.create_engine(f"sqlite:///{found.storage.path / 'ledger.sqlite'}")
    shift = "UPDATE sessions SET started = substr(started, 2) || substr(started, 1, 1)"
    with engine.begin() as connection:
        before = connection.execute(sa.select(sessions.c.digest, sessions.c.started)).all()
        connection.execute(sa.text(shift))
    try:
        with pytest.raises(LedgerCorrupt, match="in sessions of the ledger was altered"):
            create_app(found)
    finally:
        with engine.begin() as connection:
            for digest, started in before:
                connection.execute(sa.update(sessions).where(sessions.c.digest == digest).values(started=started))
        engine.dispose()
    create_app(found)


def test_two_services_on_one_host_do_not_log_each_other_out(app, token, tmp_path):
    other = workspace(tmp_path)
    with other.storage.database.writing() as connection:
        theirs = {"operator": tokens.issue(connection, "Eve", "operator")}
    with TestClient(create_app(other, every=60)) as second:
        client, _csrf = logged_in(app, token)
        elsewhere, _csrf = logged_in(second.app, theirs)
        jar = {**client.cookies, **elsewhere.cookies}
        assert len(jar) == 2
        assert (
            TestClient(app, cookies=jar).get("/").status_code == TestClient(second.app, cookies=jar).get("/").status_code == 200
        )


def test_the_page_that_was_asked_for_is_opened_after_logging_in(app, token):
    client = TestClient(app, follow_redirects=False)
    asked = client.get("/requests?state=closed")
    assert asked.status_code == 401 and 'value="/requests?state=closed"' in asked.text
    wrong = client.post("/login", data={"token": "exp_no", "next": "/requests?state=closed"})
    assert wrong.status_code == 401 and 'value="/requests?state=closed"' in wrong.text and 'aria-invalid="true"' in wrong.text
    done = client.post("/login", data={"token": token["operator"], "next": "/requests?state=closed"})
    assert done.headers["location"] == "/requests?state=closed"
    for bad in ("//evil.example", "https://evil.example", "/\\evil.example", "/v1/models", "/" + "a" * 600, "/\n/evil"):
        assert client.post("/login", data={"token": token["operator"], "next": bad}).headers["location"] == "/"
    assert client.get("/", headers={"HX-Request": "true"}).headers.get("hx-refresh") is None
    client.cookies.clear()
    assert client.get("/requests", headers={"HX-Request": "true"}).headers["hx-refresh"] == "true"


def test_what_was_typed_is_kept_when_the_session_has_ended(app, token):
    client, csrf = logged_in(app, token)
    twin = TestClient(app, cookies=dict(client.cookies), follow_redirects=False)
    twin.post("/logout", data={"csrf": csrf})
    typed = {"csrf": csrf, "subject": 'person-1\nper"son', "by": "who"}
    asked = client.post("/requests/preview", data=typed)
    assert asked.status_code == 401 and "What you typed is kept" in asked.text
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', asked.text))
    assert (
        fields["next"] == "/requests/preview"
        and fields["kept.subject"] == "person-1\nper&#34;son"
        and "kept.csrf" not in fields
    )
    again = client.post(
        "/login", data={"token": token["operator"], "next": fields["next"], "kept.subject": typed["subject"], "kept.by": "who"}
    )
    assert again.status_code == 200 and "Nothing was sent yet" in again.text and 'action="/requests/preview"' in again.text
    fresh = re.search(r'name="csrf" value="([^"]+)"', again.text)[1]
    assert client.post("/requests/preview", data={**typed, "csrf": fresh}).status_code < 400


def test_of_strangers_nothing_is_kept_or_read(app):
    asked = TestClient(app).post("/requests/preview", data={"subject": "person-1", "csrf": "x"})
    assert asked.status_code == 401 and "person-1" not in asked.text
    long = TestClient(app).post("/login", data={"token": "x" * OPEN_BODY_BYTES})
    assert long.status_code == 413 and "<h1>This is too long</h1>" in long.text


class TestWrongTokens:
    def test_a_valid_token_is_let_in_however_many_wrong_ones_its_address_has_tried(self, found, token, one_minute):
        with TestClient(create_app(found, every=60)) as client:
            codes = [client.get("/v1/models", headers={"Authorization": f"Bearer exp_0_{i}"}).status_code for i in range(15)]
            assert codes == [401] * access.FAILURES + [429] * 5
            headers = {"Authorization": f"Bearer {token['auditor']}"}
            assert client.get("/v1/models", headers=headers).status_code == 200
            assert client.post("/login", data={"token": token["operator"]}).status_code == 200
            with found.storage.database.writing() as connection:
                new = tokens.issue(connection, "new", "auditor")
            assert client.get("/v1/models", headers={"Authorization": f"Bearer {new}"}).status_code == 200
            refused = client.get("/v1/models", headers={"Authorization": "Bearer exp_0_99"})
            assert refused.json()["type"] == "/problems/too-many-wrong-tokens" and int(refused.headers["retry-after"]) <= 60

    def test_their_count_is_bounded(self, monkeypatch, one_minute):
        monkeypatch.setattr(tallies, "MOST", 100)
        counted = Tally()
        for i in range(1000):
            counted.add(str(i))
        assert len(counted) == 100 and counted.add("999") == 2 and counted.add("1") == 1

    def test_what_anybody_sends_is_counted_by_address(self, found, monkeypatch, one_minute):
        monkeypatch.setattr(access, "OPEN_CALLS", 3)
        with TestClient(create_app(found, every=60)) as client:
            codes = [client.post("/v1/verify", json={}).status_code for _ in range(5)]
        assert codes == [422] * 3 + [429] * 2


@pytest.fixture(scope="module")
def rooted(found):
    with TestClient(create_app(found, every=60, root="/desk"), follow_redirects=False) as client:
        yield client


class TestUnderAPath:
    @pytest.mark.parametrize("prefix", ["", "/desk"])  # whether the proxy in front takes it off, or not
    def test_links_redirections_and_cookies_lead_there(self, rooted, token, prefix):
        done = rooted.post(f"{prefix}/login", data={"token": token["operator"], "next": "/requests"})
        assert done.headers["location"] == "/desk/requests" and "Path=/desk/" in done.headers["set-cookie"]
        page = rooted.get("/desk/requests").text
        links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
        assert len(links) > 8 and all(link.startswith("/desk/") for link in links)
        for link in sorted({link for link in links if "/static/" in link}):
            assert rooted.get(link).status_code == 200
        csrf = re.search(r'name="csrf" value="([^"]+)"', page)[1]
        assert rooted.post("/desk/logout", data={"csrf": csrf}).headers["location"] == "/desk/"

    def test_problems_and_the_contract_say_so(self, rooted, token):
        headers = {"Authorization": f"Bearer {token['auditor']}"}
        kind = rooted.get("/desk/v1/requests/none", headers=headers).json()["type"]
        assert kind == "/desk/problems/not-found" and rooted.get(kind).status_code == 200
        assert rooted.get("/desk/v1/openapi.json").json()["servers"][0]["url"] == "/desk"
        made = rooted.post("/v1/models/churn/refit", headers={"Authorization": f"Bearer {token['engineer']}"})
        assert made.headers["location"].startswith("/desk/v1/jobs/")

    def test_the_path_must_be_one(self, found):
        for wrong in ("desk", "/desk/", "//x", "/a b", "/<x>"):
            with pytest.raises(ValueError, match="must be like /desk"):
                create_app(found, root=wrong)


PAGES = [
    (404, "GET", "/requests/none"),
    (404, "GET", "/certificates/none"),
    (405, "DELETE", "/requests"),
    (422, "POST", "/requests/preview"),
]


@pytest.mark.parametrize(("status", "method", "path"), PAGES)
def test_errors_on_pages_are_pages_that_say_what_to_do(app, token, status, method, path):
    client, csrf = logged_in(app, token)
    data = {"csrf": csrf, "heading": "perhaps"} if method == "POST" else None
    answer = client.request(method, path, data=data)
    assert answer.status_code == status and answer.headers["content-type"].startswith("text/html")
    told = pages.failures.OF_STATUS[status]
    assert f"<h1>{told.heading}</h1>" in answer.text and told.advice in answer.text
    assert ("Log out" in answer.text) == (status != 405) and ("heading: is too long" in answer.text) == (status == 422)
    assert not re.search(r"pattern|StrEnum|Input should|/problems|\{", answer.text.split("<main")[1])


def test_forms_that_are_out_of_date_or_too_long_and_roles_that_do_not_fit_are_pages_too(app, token, found):
    client, csrf = logged_in(app, token)
    stale = client.post("/requests/preview", data={"csrf": "old", "subject": "x"})
    assert stale.status_code == 403 and "<h1>This form is out of date</h1>" in stale.text
    long = client.post("/requests/preview", data={"csrf": csrf}, files={"upload": b"x" * (5 << 20)})
    assert long.status_code == 413 and "at most 4 MB" in long.text
    auditor, _csrf = logged_in(app, token, "auditor")
    role = auditor.get("/requests/new")
    assert role.status_code == 403 and "<h1>Your role may not do this</h1>" in role.text


def test_the_ledger_s_place_is_told_to_nobody_who_is_not_known(found, token, monkeypatch):
    with TestClient(create_app(found, every=60)) as client:

        def broken():
            raise WorkspaceInvalid("the ledger's database postgresql://desk@db.internal/ledger cannot be used")

        monkeypatch.setattr(found.storage.database, "reading", broken)
        for path in ("/healthz", "/", "/v1/models", "/v1/keys"):
            answer = client.get(path, headers={"Authorization": f"Bearer {token['auditor']}"})
            assert answer.status_code == 503 and "db.internal" not in answer.text and "postgresql" not in answer.text, path


def test_uploads_stay_in_memory(app, token, monkeypatch):
    client, csrf = logged_in(app, token)
    spooled = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda file: spooled.append(file))
    content = b"who\n" + b"\n".join(b"person-%d" % i for i in range(150_000))
    assert len(content) > 1_500_000
    answer = client.post("/requests/preview", data={"csrf": csrf}, files={"upload": ("ids.csv", content)})
    assert answer.status_code in (200, 422) and not spooled


def test_answers_that_fail_are_counted(app, as_role, monkeypatch):
    def count():
        shown = as_role("auditor", "GET", "/metrics").text
        lines = [line for line in shown.splitlines() if "http_seconds_count" in line and 'status="500"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    before = count()
    monkeypatch.setattr("expunge.service.api.models.living_models", lambda _storage: 1 / 0)
    answer = as_role("auditor", "GET", "/v1/models")
    assert answer.status_code == 500 and answer.json()["type"] == "/problems/unforeseen"
    assert count() == before + 1
