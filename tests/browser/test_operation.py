"""The paths of an engineer and an auditor in a real browser, wide and narrow, light and dark, and without JavaScript."""

import json

import pytest
from playwright.sync_api import expect

from expunge.ledger import tokens
from tests.browser.looks import accessible


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), pytest.param(360, "dark", marks=pytest.mark.soak)])
def test_the_path_of_an_engineer(width, scheme, log_in, found, shot):
    page = log_in("engineer", viewport={"width": width, "height": 800}, color_scheme=scheme)
    with found.storage.database.writing() as connection:
        tokens.issue(connection, f"Partner of {width}", "consumer")

    def look(name):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shot(page, f"{width}-{name}")
        accessible(page)

    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.get_by_text("It can forget about").first).to_be_visible()
    look("models")
    page.get_by_role("link", name="visits", exact=True).click()
    expect(page.get_by_role("img", name="of what is promised is spent")).to_be_visible()
    look("model")
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON", exact=True).click()
    assert json.loads(download.value.path().read_text())["model"] == "visits"
    page.get_by_label("Type visits to confirm").fill("visit")
    page.get_by_role("button", name="Retire it").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not its name")
    expect(page.get_by_label("Type visits to confirm")).to_be_focused()
    expect(page.get_by_text("Ann the engineer, first").first).to_be_visible()  # the download is recorded
    look("unconfirmed")
    page.get_by_role("button", name="Refit now").click()
    expect(page.get_by_text("done", exact=True)).to_be_visible(timeout=60_000)  # by htmx, without loading the page
    look("job")
    page.get_by_role("link", name="to all jobs").click()
    expect(page.get_by_role("heading", name="Operation")).to_be_visible()
    expect(page.get_by_text("Requests are being worked")).to_be_visible()
    expect(page.get_by_text("this one")).to_be_visible()
    look("operation")
    page.get_by_role("button", name=f"Revoke the token of Partner of {width}").click()
    expect(page.get_by_role("button", name=f"Revoke the token of Partner of {width}")).to_have_count(0)
    page.get_by_role("button", name="Examine now").click()
    expect(page.get_by_text("checks: all is well")).to_be_visible(timeout=60_000)
    look("doctor")


@pytest.mark.parametrize("width", [1280, pytest.param(360, marks=pytest.mark.soak)])
def test_the_path_of_an_auditor_without_javascript(width, log_in, shot):
    page = log_in("auditor", java_script_enabled=False, viewport={"width": width, "height": 800})
    page.get_by_role("link", name="Audits").click()
    page.get_by_label("Model").select_option("spend")
    page.get_by_label("How thorough").select_option("500")
    page.get_by_role("button", name="Audit now").click()
    for _ in range(60):
        if page.get_by_text("Verdict: nothing was found").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(page.get_by_text("Verdict: nothing was found")).to_be_visible()
    shot(page, f"{width}-verdict")
    for name, starts in (("All numbers, as JSON", "{"), ("The figure, as SVG", "<svg")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.path().read_text().startswith(starts)
    page.get_by_role("link", name="All audits").click()
    expect(page.get_by_text("nothing found").first).to_be_visible()
    shot(page, f"{width}-audits")
    page.get_by_role("link", name="Operation").click()
    expect(page.get_by_role("heading", name="Doctor")).to_be_visible()
    expect(page.get_by_role("button", name="Revoke")).to_have_count(0)
