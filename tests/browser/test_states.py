"""Every page in each of its states: it fits, leads on, and axe finds nothing; no link is dead.

Pages are looked at in turn wide and light, and narrow and dark; in `make soak` and `make screenshots` each of them is in both.
"""

import datetime
import itertools
import re

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from expunge.data.hashed_ids import HashedId
from expunge.ledger import hooks, jobs, notices, register, requests, tokens
from expunge.ledger.jobs import JobKind, JobState
from expunge.ledger.notices import Notice
from expunge.ledger.register import Filter, Matter, Sort
from expunge.ledger.requests import Basis, Channel, RequestKind, RequestState
from expunge.service.app import create_app
from expunge.service.faults import Cause
from expunge.workspace import Workspace, handling
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.cases import Case
from tests.browser.looks import accessible, plain, sound
from tests.conftest import SOAK
from tests.workspace.people import people, with_mail, workspace

WINDOWS = [(1280, "light"), (360, "dark")]
EMPTY = ["/", "/requests", "/requests/new", "/people", "/suppressions", "/certificates", "/models", "/audits", "/operation"]
EMPTY += ["/webhooks", "/log"]
MAIL = HashedId("mail", "lower", "sha256")
HELD, NEVER = "hold_hours = 48", 3600.0
DAYS = {"overdue": 45, "due this week": 26, "new": 0}


def asked(made: Workspace, first: int, *, days: int = 0, actor: str = "local", count: int = 1) -> list[str]:
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=days)
    case = Case(received_on=day, channel=Channel.LETTER, reference=f"DP/{first}", note="by post, with a copy of a passport")
    wishes = [ForgetRequest(f"person-{first + each}", actor, case=case) for each in range(count)]
    return [answer.request for answer in made.ask(wishes)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """An empty workspace, in which requests are held and more than three people need a second officer; no model yet."""
    folder = tmp_path_factory.mktemp("states")
    made = workspace(folder, models=False, table=with_mail(people()), hashed=(str(MAIL),))
    path = made.storage.configuration_path
    path.write_text(path.read_text().replace("hold_hours = 0", HELD).replace("approval_people = 0", "approval_people = 3"))
    return Workspace.open(made.storage.path)


@pytest.fixture(scope="module")
def app(found):
    """The service, whose worker leaves everything as it is."""
    return create_app(found, every=NEVER)


@pytest.fixture
def look(shot):
    """``look(page, path, name)``: opens a page, and looks at it in the windows whose turn it is."""
    turns = itertools.cycle(WINDOWS)

    def look(page, path, name, *, status=200, officer=False):
        answer = page.goto(path) if path else None
        assert answer is None or answer.status == status, f"{path}: {answer.status}"
        for width, scheme in WINDOWS if SOAK > 1 else [next(turns)]:
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            shot(page, f"{name}-{width}-{scheme}")
            sound(page)
            accessible(page)
        if officer:
            plain(page)

    return look


def test_an_empty_desk(log_in, look):
    for role in (tokens.Role.OPERATOR, tokens.Role.ENGINEER):
        page = log_in(role)
        for path in EMPTY:
            if page.request.get(path).status != 403:
                look(page, path, f"empty-{role}{path.replace('/', '-')}", officer=role == tokens.Role.OPERATOR)
    page.goto("/")
    expect(page.get_by_text("Nobody has asked yet.")).to_be_visible()


@pytest.fixture(scope="module")
def filled(found, token):
    """Requests in every state, by name."""
    found.fit("churn", "churn", delta=1e-5)
    storage, made = found.storage, {}
    made["done"], made["refused"], made["withdrawn"] = asked(found, 0, count=3)
    handling.refuse(storage, made["refused"], "legal-claims", "local")
    handling.withdraw(storage, made["withdrawn"], "mistake", "local")
    kind, ground = RequestKind.RESTRICT, Basis.CLAIMS
    wishes = [ForgetRequest(f"person-{number}", "local", kind=kind, ground=ground) for number in (60, 61)]
    made["restricted"], made["lifting"] = (answer.request for answer in found.ask(wishes))
    found.process()
    handling.lift(storage, made["lifting"], "claims-over", "local", is_informed=True)
    for number, (name, days) in enumerate(DAYS.items()):
        (made[name],) = asked(found, 10 + number, days=days)
    made["to be approved"], *_others = asked(found, 20, count=5)
    (made["stuck"],) = asked(found, 30, days=3)
    with storage.database.writing() as connection:
        row = requests.by_id(connection, made["stuck"])
        requests.note_problem(connection, row, "churn cannot forget so many at once", "2099-01-01T00:00:00+00:00")
    return made


def test_a_filled_desk(filled, found, app, log_in, look):
    page = log_in("operator")
    app.state.worker.faults.add("webhook w-1", Cause.DELIVERY, "nobody answers at https://example.org/hook")
    look(page, "/", "today", officer=True)
    sentence = page.locator("#sentence")
    expect(sentence).to_have_text(re.compile(r"1 request is overdue, 1 is stuck, 5 wait .*approval, and 1 is due this week\."))
    with found.storage.database.reading() as connection:
        counted = {matter: register.total(connection, Filter(matter=matter)) for matter in Matter}
        newest = register.listed(connection, Filter(state=RequestState.CLOSED), Sort.NEWEST, 1)[0]
    assert counted[Matter.OVERDUE] == counted[Matter.STUCK] == counted[Matter.DUE] == 1 and newest.id == filled["done"]
    for name, request in filled.items():
        look(page, f"/requests/{request}", f"request-{name.replace(' ', '-')}", officer=True)
    for path, name in (
        ("/requests", "register"),
        ("/requests?matter=overdue", "register-overdue"),
        ("/requests?since=yesterday", "register-wrong-day"),
        (f"/requests/{filled['done']}/certificate", "certificate-for-a-person"),
        (f"/requests/{filled['done']}/documents", "documents"),
        (f"/requests/{filled['restricted']}/certificate", "certificate-of-a-restriction"),
        ("/certificates", "certificates"),
        ("/certificates/1", "certificate"),
        ("/models", "models"),
        ("/models/churn", "model"),
        ("/verify", "verify"),
    ):
        look(page, path, name, status=422 if "yesterday" in path else 200, officer=True)
    page.goto("/people")
    page.get_by_label("Id of the person").fill("person-60")
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_text("Processing is restricted since")).to_be_visible()
    look(page, None, "person-restricted", officer=True)
    page.goto("/suppressions")
    page.get_by_label("What it is called").fill("drop-2026-08")
    listed = "\n".join(MAIL.of(f"person-{number}@example.org") for number in (70, 9999))
    file = {"name": "a.txt", "mimeType": "text/plain", "buffer": listed.encode()}
    page.get_by_label("The file with the hashes").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("1 stands for somebody here")).to_be_visible()
    look(page, None, "suppressions-imported", officer=True)
    page = page.context.new_page()  # whose failures are meant
    for path, status in (("/requests/r-0", 404), ("/no-such-page", 404), ("/operation", 403), ("/log?before=x", 422)):
        look(page, path, f"failure{path.split('?')[0].replace('/', '-')}", status=status)
        expect(page.get_by_role("heading", level=1)).not_to_contain_text("{")


def test_work_that_runs_and_fails(filled, found, log_in, look):
    with found.storage.database.writing() as connection:
        for state in JobState:
            number = jobs.add(connection, JobKind.REFIT, "churn", "{}", "local", "an-instance")
            if state is not JobState.QUEUED and state is not JobState.CANCELLED:
                jobs.start(connection, number, "an-instance")
                jobs.note_progress(connection, number, "12 of 20 steps")
            if state is JobState.CANCELLED:
                jobs.cancel(connection, number)
            if state is JobState.FAILED:
                jobs.finish(connection, number, state, cause="environment", problem="the disk is full")
        identity, _secret = hooks.add(connection, "http://127.0.0.1:1/hook", "2026-11-28T10:00:00+00:00")
        notices.announce(connection, Notice.TEST, {}, only=identity)
        numbers = {job.state: job.id for job in jobs.listed(connection, 20)}
    page = log_in("engineer")
    for state, number in numbers.items():
        look(page, f"/jobs/{number}", f"job-{state}")
    for path in ("/operation", "/webhooks", "/audits", "/models/churn", "/log", "/log/1"):
        look(page, path, path.strip("/").replace("/", "-"))
    page.goto("/webhooks")
    page.get_by_label("address of a program").fill("https://user@example.org/")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_label("address of a program")).to_be_focused()
    look(page, "", "webhooks-wrong")
    with found.storage.database.writing() as connection:
        hooks.remove(connection, identity)


def test_a_certificate_that_is_not_genuine(filled, found, log_in, look):
    engine = sa.create_engine(f"sqlite:///{found.storage.path / 'ledger.sqlite'}")
    with engine.begin() as connection:
        before = connection.execute(sa.text("SELECT envelope FROM releases WHERE id = 2")).scalar()
        connection.execute(sa.text("UPDATE releases SET envelope = replace(envelope, 'A', 'B') WHERE id = 2"))
    try:
        page = log_in("auditor")
        look(page, "/certificates/2", "not-genuine")
        expect(page.get_by_role("alert")).to_contain_text("Not genuine.")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE releases SET envelope = :before WHERE id = 2"), {"before": before})
        engine.dispose()


def test_no_link_is_dead(filled, log_in):
    for role in (tokens.Role.OPERATOR, tokens.Role.AUDITOR, tokens.Role.ENGINEER):
        page, seen, ahead = log_in(role, java_script_enabled=False), set[str](), {"/"}
        while ahead:
            path = ahead.pop()
            seen.add(path)
            answer = page.request.get(path)
            assert answer.status == 200, f"{role}: {path} answers {answer.status}"
            if "text/html" in answer.headers["content-type"] and len(seen) < 150:
                found = re.findall(r'<a [^>]*href="(/[^"#]*)', answer.text())
                ahead |= {link.replace("&amp;", "&") for link in found} - seen
        assert len(seen) > 25
