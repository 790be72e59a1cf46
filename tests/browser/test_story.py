"""The page in a real browser: the story, every role, small, dark, without JavaScript, by keyboard; axe finds nothing."""

import pytest
from playwright.sync_api import expect

from expunge.ledger import hooks, notices
from expunge.ledger.notices import Notice
from tests.browser.looks import accessible


def test_from_request_to_verified_certificate(log_in, shot, tmp_path):
    page = log_in("operator")
    shot(page, "today")
    accessible(page)
    page.get_by_role("link", name="New request").first.click()
    (tmp_path / "ids.csv").write_text("who\nperson-1\nperson-2\n")
    page.get_by_label("Ids of the people").fill("person-3\nnobody")
    page.get_by_label("or a file with the ids").set_input_files(tmp_path / "ids.csv")
    shot(page, "new")
    accessible(page)
    page.get_by_role("button", name="Check the request").click()
    expect(page.get_by_text("3 of 4 are to be forgotten")).to_be_visible()
    expect(page.get_by_role("heading", name="1 not known here")).to_be_visible()
    expect(page.get_by_role("cell", name="exactly, at once")).to_be_visible()
    shot(page, "preview")
    accessible(page)
    page.get_by_role("button", name="Make the requests").click()
    expect(page.get_by_role("heading", name="3 of 4 accepted")).to_be_visible()
    assert "person" not in page.url
    page.locator("summary").first.click()
    expect(page.locator("pre").first).to_contain_text('"expunge":"receipt"')
    shot(page, "receipts")
    accessible(page)
    page.get_by_role("article").first.get_by_role("link").first.click()
    expect(page.get_by_text("erased, done")).to_be_attached(timeout=20_000)  # by htmx, without loading the page
    shot(page, "request")
    accessible(page)
    page.get_by_role("link", name="churn, release 2").click()
    expect(page.get_by_role("heading", name="Claim")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Genuine")
    page.get_by_text("What was checked").click()
    expect(page.locator("details li code").first).to_be_visible()
    shot(page, "certificate")
    accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="The certificate, which anybody with the public keys can verify").click()
    assert '"expunge":"certificate"' in download.value.path().read_text()


def test_a_person_is_told_what_is_held(log_in, shot):
    page = log_in("operator")
    page.get_by_role("link", name="Look up").click()
    page.get_by_label("Id of the person").fill("nobody")
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("alert")).to_contain_text("no rows here have this id")
    expect(page.get_by_label("Id of the person")).to_be_focused()
    assert page.get_by_label("Id of the person").input_value() == "nobody"
    page.get_by_label("Id of the person").fill("person-30")
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("heading", name="Models that learned them")).to_be_visible()
    expect(page.get_by_text("churn, which predicts churn, learned")).to_be_visible()
    assert page.url.endswith("/people")
    shot(page, "held")
    accessible(page)
    for name, begins in (("Everything, as JSON", "{"), ("The rows, as CSV", "age,job,tenure")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        assert download.value.path().read_text().startswith(begins) and "person" not in download.value.suggested_filename


def test_an_auditor_audits(log_in, shot):
    page = log_in("auditor")
    expect(page.get_by_role("link", name="New request")).to_have_count(0)
    page.get_by_role("link", name="Audits").click()
    accessible(page)
    page.get_by_label("Model").select_option("churn")
    page.get_by_role("button", name="Audit now").click()
    expect(page.get_by_text("Verdict: nothing was found")).to_be_visible(timeout=60_000)  # by htmx, without loading the page
    expect(page.get_by_role("img", name="Errors of the best test")).to_be_visible()
    shot(page, "verdict")
    accessible(page)
    page.get_by_role("link", name="Certificates").click()
    accessible(page)
    page.get_by_role("link", name="Register", exact=True).click()
    accessible(page)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    accessible(page)


def test_an_engineer_looks_at_a_model(log_in, shot):
    page = log_in("engineer")
    page.get_by_role("link", name="Models", exact=True).click()
    page.get_by_role("link", name="churn", exact=True).click()
    accessible(page)
    page.get_by_role("button", name="Measure now").click()
    expect(page.get_by_role("heading", name="What each column adds")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("img", name="contribution of age")).to_be_visible()
    expect(page.get_by_text("Do not publish it")).to_be_visible()
    colours = page.locator("svg path[stroke='#0e8a8a']").first.evaluate("line => getComputedStyle(line).stroke")
    assert colours == "rgb(14, 138, 138)", "the page's own style leaves the drawing's colours alone"
    shot(page, "model")
    accessible(page)


def test_an_engineer_adds_tests_and_deletes_a_webhook(log_in, shot):
    page = log_in("engineer", java_script_enabled=False)
    page.get_by_role("link", name="Operation").click()
    page.get_by_role("link", name="Webhooks and e-mails").click()
    page.get_by_label("address of a program").fill("http://127.0.0.1:1/hook")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_contain_text("is shown once")
    page.get_by_role("button", name="Test w-").click()
    expect(page.get_by_role("cell", name="webhook.test")).to_be_visible()
    page.get_by_role("button", name="New secret for w-").click()
    expect(page.get_by_role("status")).to_contain_text("is shown once")
    shot(page, "webhooks")
    page.get_by_role("button", name="Delete w-").click()
    expect(page.get_by_text("Nobody is told yet.")).to_be_visible()


def test_the_webhooks_are_accessible(log_in, found):
    with found.storage.database.writing() as connection:
        identity, _secret = hooks.add(connection, "http://127.0.0.1:1/hook", "2026-11-28")
        notices.announce(connection, Notice.TEST, {}, only=identity)
    page = log_in("engineer")
    page.get_by_role("link", name="Operation").click()
    page.get_by_role("link", name="Webhooks and e-mails").click()
    expect(page.get_by_role("cell", name="webhook.test")).to_be_visible()
    accessible(page)
    with found.storage.database.writing() as connection:
        hooks.remove(connection, identity)


def test_an_engineer_reads_and_may_not_ask(log_in, served):
    page = log_in("engineer")
    expect(page.get_by_role("link", name="Audits")).to_be_visible()
    assert page.request.get("/requests/new").status == 403


def test_a_wrong_token_is_told(chromium, served, shot):
    page = chromium.new_page(base_url=served)
    page.goto("/")
    page.get_by_label("Token").fill("exp_no_token")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not a valid token")
    shot(page, "login")
    accessible(page)
    page.close()


def test_without_javascript(log_in):
    page = log_in("operator", java_script_enabled=False)
    page.get_by_role("link", name="New request").first.click()
    page.get_by_label("Ids of the people").fill("person-9")
    page.get_by_role("button", name="Check the request").click()
    page.get_by_role("button", name="Make the request").click()
    page.get_by_role("article").get_by_role("link").first.click()
    for _ in range(100):
        if page.get_by_text("erased, done").count():
            break
        page.wait_for_timeout(200)
        page.reload()
    expect(page.get_by_role("link", name="churn, release")).to_be_visible()


def test_by_keyboard_alone(log_in):
    page = log_in("operator")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.goto("/requests/new")
    page.get_by_label("Ids of the people").focus()
    page.keyboard.type("person-12")
    received = page.get_by_label("Received on")  # a date has a stop for each of its parts
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.get_by_role("button", name="Check the request").evaluate("one => one === document.activeElement"):
            break
    expect(page.get_by_role("button", name="Check the request")).to_be_focused()
    assert received.input_value()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Check the request")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/requests", "/requests/new", "/people", "/certificates", "/certificates/1"])
def test_on_a_small_screen(scheme, path, log_in, shot):
    page = log_in("operator", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shot(page, "small")
    accessible(page)


def test_an_old_form_is_refused(log_in):
    page = log_in("operator")
    page.goto("/requests/new")
    answer = page.request.post("/requests/preview", form={"csrf": "old", "subject": "person-1"})
    assert answer.status == 403
