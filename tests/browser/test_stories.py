"""A day of each of the three people, end to end in a real browser: an officer's, an auditor's, an engineer's.

Each is told wide and light with scripts, and narrow and dark without; the other combinations in `make soak`.
"""

import datetime
import itertools
import json
import re
from typing import NamedTuple

import pytest
from playwright.sync_api import expect

from expunge.ledger import tokens
from expunge.workspace import Workspace
from tests.browser.looks import looker
from tests.browser.test_papers import pages_of
from tests.workspace.people import workspace


class Window(NamedTuple):
    """How somebody sees the pages."""

    width: int
    scheme: str
    scripts: bool


TOLD = [Window(1280, "light", True), Window(360, "dark", False)]
WINDOWS = [
    pytest.param(window, marks=() if window in TOLD else pytest.mark.soak, id="-".join(map(str, window)))
    for window in (Window(*each) for each in itertools.product((1280, 360), ("light", "dark"), (True, False)))
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A workspace in which requests are held, and more than three people need a second officer."""
    made = workspace(tmp_path_factory.mktemp("stories"), models=("churn",))
    path = made.storage.configuration_path
    settings = path.read_text().replace("hold_hours = 0", "hold_hours = 2")
    path.write_text(settings.replace("approval_people = 0", "approval_people = 3"))
    return Workspace.open(made.storage.path)


@pytest.fixture(scope="module")
def token(found):
    with found.storage.database.writing() as connection:
        roles = {role: tokens.issue(connection, f"Ann the {role}", role) for role in tokens.Role}
        return {**roles, "colleague": tokens.issue(connection, "Bea the operator", tokens.Role.OPERATOR)}


@pytest.fixture(scope="module")
def people():
    """Ids of people of whom nobody has spoken yet, in this module."""
    return (f"person-{number}" for number in range(240))


@pytest.fixture
def seen_by(log_in):
    """``seen_by(role, window)``: a page of somebody who has logged in and sees it so."""

    def seen_by(role, window):
        size = {"width": window.width, "height": 800}
        return log_in(role, viewport=size, color_scheme=window.scheme, java_script_enabled=window.scripts)

    return seen_by


def until(page, window, text):
    """Waits for ``text``: by itself with scripts; without, by loading the page again, as it says."""
    for _ in range(0 if window.scripts else 120):
        if page.get_by_text(text, exact=True).count():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(page.get_by_text(text, exact=True).first).to_be_attached(timeout=60_000)


def menu(page, name):
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()


def decide(page, summary, button, *, tick):
    page.get_by_text(summary).click()
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Tick the box")
    expect(page.get_by_label(tick)).to_be_focused()
    page.get_by_label(tick).check()
    page.get_by_role("button", name=button, exact=True).click()


@pytest.mark.parametrize("window", WINDOWS)
def test_a_day_of_a_privacy_officer(window, seen_by, found, people, shot, tmp_path):
    look = looker(shot, scripts=window.scripts, officer=True)
    page, one, reference = seen_by("operator", window), next(people), f"DP/{window.width}/{window.scheme}/{window.scripts}"
    look(page, "today")
    page.get_by_role("main").get_by_role("link", name="New request").click()
    page.get_by_role("button", name="Check the request").click()
    expect(page.get_by_label("Ids of the people")).to_be_focused()
    look(page, "nothing-entered")
    page.get_by_label("Ids of the people").fill(one)
    page.get_by_label("How it came").select_option("by letter")
    page.get_by_label("Received on").fill("2031-01-01")
    page.locator("form").evaluate_all("forms => forms.forEach(form => { form.noValidate = true; })")
    page.get_by_role("button", name="Check the request").click()
    expect(page.get_by_label("Received on")).to_be_focused()
    assert page.get_by_label("Ids of the people").input_value() == one, "what was typed is kept"
    received = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=10)
    page.get_by_label("Received on").fill(received.isoformat())
    if not page.get_by_label("Your reference").is_visible():
        page.get_by_text("For your files").click()
    page.get_by_label("Your reference").fill(reference)
    page.get_by_role("button", name="Check the request").click()
    expect(page.get_by_text("1 of 1 is to be forgotten")).to_be_visible()
    look(page, "check")
    page.get_by_role("button", name="Make the request", exact=True).click()
    expect(page.get_by_role("heading", name="1 of 1 accepted")).to_be_visible()
    look(page, "receipts")
    page.get_by_role("link", name="Receipt and letter").click()
    page.get_by_label("Id of the person").fill(one)
    page.get_by_role("button", name="Letter").click()
    expect(page.get_by_role("heading", name="We have received your request")).to_be_visible()
    assert pages_of(page) == 1
    look(page, "letter")
    page.get_by_role("link", name="Back to the request").click()
    asked = page.url
    page.get_by_text("Extend the deadline").click()
    page.get_by_label("By").select_option("two months")
    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_text("Deadline extended: the request is complex, by Ann the operator")).to_be_visible()
    look(page, "extended")

    # a list in a file, so long that a colleague has to approve it
    listed = [next(people) for _ in range(5)]
    (tmp_path / "list.csv").write_text("\n".join(["name;customer", *(f"N;{each}" for each in listed), "X;nobody"]) + "\n")
    menu(page, "New request")
    page.get_by_label("or a file with the ids").set_input_files(tmp_path / "list.csv")
    page.get_by_role("button", name="Check the request").click()
    page.get_by_label("Heading of the column").fill("customer")
    page.get_by_role("button", name="Read it this way").click()
    expect(page.get_by_text("5 of 6 are to be forgotten")).to_be_visible()
    expect(page.get_by_text("a second person has to approve")).to_be_visible()
    look(page, "list")
    page.get_by_role("button", name="Make the requests").click()
    links = page.get_by_role("article").filter(has_text=": accepted").get_by_role("link", name=re.compile(r"^r-"))
    places = [link.get_attribute("href") for link in links.all()]
    assert len(places) == 5
    page.goto(places[0])
    decide(page, "Withdraw the request", "Withdraw", tick="Yes, it is withdrawn")
    expect(page.locator("#path")).to_contain_text("withdrawn")
    look(page, "withdrawn")
    page.goto(places[1])
    decide(page, "Refuse the request", "Refuse", tick="Yes, it is refused")
    expect(page.locator("#path")).to_contain_text("freedom of expression")
    page.goto(places[2])
    page.get_by_role("button", name="Approve it").click()
    expect(page.get_by_role("alert")).to_contain_text("second person")
    look(page, "own-approval")
    colleague = seen_by("colleague", window)
    colleague.get_by_role("link", name=re.compile("approval")).click()
    colleague.get_by_role("link", name=places[2].rpartition("/")[2]).click()
    colleague.get_by_role("button", name="Approve it").click()
    expect(colleague.get_by_text("Approved, by Bea the operator")).to_be_visible()

    # they are worked
    page.goto(asked)
    found.process()  # by hand, without waiting for the hold
    until(page, window, "Certificate for the person")
    expect(page.locator("#path")).to_contain_text("after 10 days")
    expect(page.get_by_text("Withdraw the request")).to_have_count(0)
    expect(page.get_by_text("Done: the rows are erased")).to_be_visible()
    look(page, "done")
    page.get_by_role("link", name="Certificate for the person").click()
    expect(page.get_by_role("heading", name="Certificate that your data were erased")).to_be_visible()
    assert pages_of(page) == 1
    look(page, "certificate-for-the-person")

    # the register
    page.goto("/requests")
    page.get_by_text("Find the requests of a person").click()
    page.get_by_label("or your own reference").fill(reference)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("1 request", exact=True)).to_be_visible()
    page.get_by_label("Id of the person").fill(listed[1])
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("1 request", exact=True)).to_be_visible()
    assert page.url.endswith("/requests/search"), "no id is in an address"
    look(page, "found")
    menu(page, "Register")
    page.get_by_text("Filter and sort").click()
    page.get_by_label("State").select_option("refused")
    page.get_by_role("button", name="Show").click()
    look(page, "register")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download these as CSV").click()
    rows = download.value.path().read_text().splitlines()
    assert len(rows) > 1 and "person" not in "".join(rows) and all("refused" in row for row in rows[1:])
    menu(page, "Look up")
    page.get_by_label("Id of the person").fill(next(people))
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("heading", name="Models that learned them")).to_be_visible()
    look(page, "held")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto(asked)
    expect(page.get_by_label("Token")).to_be_focused()


@pytest.mark.parametrize("window", WINDOWS)
def test_a_day_of_an_auditor(window, seen_by, found, people, chromium, served, shot, tmp_path):
    (answer,) = found.forget([next(people)])
    found.process()
    look = looker(shot, scripts=window.scripts)
    page = seen_by("auditor", window)
    (tmp_path / "kept.json").write_text(page.request.get("/v1/log/checkpoint").text())
    found.forget([next(people)])  # the log goes on
    menu(page, "Log")
    look(page, "log")
    page.get_by_label("What happened").select_option("release.certified")
    page.get_by_role("button", name="Show").click()
    look(page, "filtered")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name="The proof that it is in the log")).to_be_visible()
    look(page, "event")
    with page.expect_download() as download:
        page.get_by_role("link", name="Event, proof and checkpoint as a file").click()
    assert json.loads(download.value.path().read_text())
    menu(page, "Log")
    page.get_by_label("The checkpoint that you kept").set_input_files(tmp_path / "kept.json")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was removed or rewritten.")
    look(page, "compared")
    menu(page, "Certificates")
    look(page, "certificates")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("status")).to_contain_text("Genuine.")
    look(page, "claim")
    for name in ("Assumptions", "Limits", "Requests covered", "Evidence"):
        page.get_by_role("navigation", name="Parts").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        look(page, name.lower().replace(" ", "-"))
    page.get_by_role("navigation", name="Parts").get_by_role("link", name="Requests covered").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Certificate with the proof that it answers {answer.request}").click()
    genuine = download.value.path().read_text()
    (tmp_path / "certificate.json").write_text(genuine)
    (tmp_path / "altered.json").write_text(genuine.replace("release.certified", "release.certifieD"))
    (tmp_path / "receipt.json").write_text(answer.receipt)

    # in public, without logging in
    size = {"width": window.width, "height": 800}
    public = chromium.new_context(
        base_url=served, viewport=size, color_scheme=window.scheme, java_script_enabled=window.scripts
    )
    outside = public.new_page()
    outside.goto("/")
    outside.get_by_role("link", name="Verify a document").click()
    outside.get_by_label("Files: choose them").set_input_files([tmp_path / "receipt.json", tmp_path / "certificate.json"])
    outside.get_by_role("button", name="Check").click()
    expect(outside.get_by_role("status")).to_have_count(2)
    look(outside, "genuine")
    outside.get_by_label("Files: choose them").set_input_files(tmp_path / "altered.json")
    outside.get_by_role("button", name="Check").click()
    expect(outside.get_by_role("alert")).to_contain_text("Not genuine.")
    expect(outside.get_by_role("status")).to_have_count(0)
    look(outside, "altered")
    public.close()

    menu(page, "Audits")
    page.get_by_label("How thorough").select_option("500")
    page.get_by_role("button", name="Audit now").click()
    until(page, window, "All numbers, as JSON")
    expect(page.get_by_text("Verdict: nothing was found")).to_be_visible()
    expect(page.get_by_role("img", name="Errors of the best test")).to_be_visible()
    look(page, "verdict")
    page.get_by_role("link", name="All audits").click()
    look(page, "audits")


@pytest.mark.parametrize("window", WINDOWS)
def test_a_day_of_an_engineer(window, seen_by, found, shot):
    look = looker(shot, scripts=window.scripts)
    page, partner = seen_by("engineer", window), f"Partner {window.width} {window.scheme} {window.scripts}"
    with found.storage.database.writing() as connection:
        tokens.issue(connection, partner, tokens.Role.CONSUMER)
    menu(page, "Models")
    look(page, "models")
    page.get_by_role("link", name="churn", exact=True).click()
    expect(page.get_by_role("img", name="of what is promised is spent")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON", exact=True).click()
    assert json.loads(download.value.path().read_text())["model"] == "churn"
    page.get_by_role("button", name="Refit now").click()
    until(page, window, "done")
    look(page, "refitted")
    page.get_by_role("link", name="Back to churn").click()
    expect(page.get_by_text("Ann the engineer, first").first).to_be_visible()  # who has fetched which release
    look(page, "model")
    menu(page, "Operation")
    page.get_by_role("link", name="Webhooks and e-mails").click()
    page.get_by_label("address of a program").fill("https://")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("address of a program")).to_be_focused()
    look(page, "no-address")
    page.get_by_label("address of a program").fill("http://127.0.0.1:1/hook")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("is shown once")
    page.get_by_role("button", name="Test w-").click()
    expect(page.get_by_role("cell", name="webhook.test")).to_be_visible()
    look(page, "webhooks")
    page.get_by_role("button", name="Delete w-").click()
    expect(page.get_by_text("Nobody is told yet.")).to_be_visible()
    menu(page, "Operation")
    look(page, "operation")
    page.get_by_role("button", name=f"Revoke the token of {partner}").click()
    expect(page.get_by_role("button", name=f"Revoke the token of {partner}")).to_have_count(0)
    page.get_by_role("button", name="Examine now").click()
    until(page, window, "done")
    expect(page.get_by_text(re.compile("checks: all is well"))).to_be_visible()
    look(page, "doctor")
