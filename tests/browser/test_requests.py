"""An officer's path in a real browser, wide and narrow: enter, check, follow, decide, find; until the session ends."""

import datetime
import re
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from playwright.sync_api import expect

from expunge.workspace import Workspace, handling
from tests.browser.looks import accessible
from tests.workspace.people import workspace


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A workspace in which requests are held and more than three people need a second officer."""
    made = workspace(tmp_path_factory.mktemp("officer"), models=("churn",))
    path = made.storage.configuration_path
    settings = path.read_text().replace("hold_hours = 0", "hold_hours = 2")
    path.write_text(settings.replace("approval_people = 0", "approval_people = 3"))
    return Workspace.open(made.storage.path)


def spreadsheet(path, first):
    book = openpyxl.Workbook()
    for row in (["name", "customer"], *([f"N{n}", f"person-{first + n}"] for n in range(2)), ["X", "nobody"]):
        book.active.append(row)
    book.save(path)


@pytest.mark.parametrize(("width", "first"), [(1280, 10), pytest.param(360, 20, marks=pytest.mark.soak)])
def test_the_path_of_an_officer(width, first, log_in, found, shot, tmp_path):
    page = log_in("operator", viewport={"width": width, "height": 800})

    def look(name):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shot(page, f"{width}-{name}")
        accessible(page)

    look("today")
    page.get_by_role("main").get_by_role("link", name="New request").click()
    page.get_by_role("button", name="Check the request").click()
    expect(page.get_by_role("alert")).to_contain_text("Give at least one id")
    expect(page.get_by_label("Ids of the people")).to_be_focused()
    expect(page.get_by_label("Ids of the people")).to_have_attribute("aria-invalid", "true")
    look("wrong")
    received = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=10)
    spreadsheet(tmp_path / "ids.xlsx", first)
    page.get_by_label("or a file with the ids").set_input_files(tmp_path / "ids.xlsx")
    page.get_by_label("Received on").fill(received.isoformat())
    page.get_by_label("How it came").select_option("by letter")
    page.get_by_text("For your files").click()
    page.get_by_label("Your reference").fill(f"DP/{first}")
    look("new")
    page.get_by_role("button", name="Check the request").click()
    expect(page.get_by_role("alert")).to_contain_text("The list has 2 columns: give the heading")
    look("unclear")
    page.get_by_label("Heading of the column").fill("customer")
    page.get_by_role("button", name="Read it this way").click()
    expect(page.get_by_text("2 of 3 are to be forgotten")).to_be_visible()
    expect(page.get_by_role("heading", name="1 not known here")).to_be_visible()
    look("check")
    page.get_by_role("button", name="Make the requests").click()
    expect(page.get_by_role("heading", name="2 of 3 accepted")).to_be_visible()
    assert "person" not in page.url
    page.get_by_role("article").first.get_by_role("link").first.click()
    expect(
        page.get_by_text(re.compile(r"Received .* by letter, due .*: \d+ days left\. It can be withdrawn until"))
    ).to_be_visible()
    look("held")
    page.get_by_text("Extend the deadline").click()
    page.get_by_label("By").select_option("two months")
    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_text("Deadline extended: the request is complex, by Ann the operator")).to_be_visible()
    page.get_by_text("Withdraw the request").click()
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("alert")).to_contain_text("Tick the box")
    expect(page.get_by_label("Yes, it is withdrawn")).to_be_focused()
    look("not-confirmed")
    address = page.url
    found.process()  # by hand, without waiting for the hold
    expect(page.get_by_text("erased, done")).to_be_attached(timeout=20_000)  # by htmx, without loading the page
    expect(page.locator("#path")).to_contain_text("after 10 days")
    expect(page.locator("#path")).not_to_have_attribute("hx-get", re.compile("."))
    assert page.url == address
    look("done")
    page.get_by_role("link", name="Register", exact=True).click()
    page.get_by_text("Find the requests of a person").click()
    page.get_by_label("or your own reference").fill(f"DP/{first}")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("3 requests")).to_be_visible()
    assert page.url.endswith("/requests/search")
    look("found")
    page.get_by_label("Id of the person").fill(f"person-{first}")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("1 request", exact=True)).to_be_visible()
    assert page.url.endswith("/requests/search") and page.get_by_label("Id of the person").input_value() == f"person-{first}"
    page.get_by_role("link", name="Register", exact=True).click()
    page.get_by_text("Filter and sort").click()
    page.get_by_label("State").select_option("refused")
    page.get_by_role("button", name="Show").click()
    assert "state=refused" in page.url
    look("register")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download these as CSV").click()
    assert "person" not in download.value.path().read_text()


def test_without_javascript_a_request_is_withdrawn(log_in):
    page = log_in("operator", java_script_enabled=False)
    page.get_by_role("main").get_by_role("link", name="New request").click()
    page.get_by_label("Ids of the people").fill("person-40")
    page.get_by_role("button", name="Check the request").click()
    page.get_by_role("button", name="Make the request").click()
    page.get_by_role("article").get_by_role("link").first.click()
    page.get_by_text("Withdraw the request").click()
    page.get_by_label("Yes, it is withdrawn").check()
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("withdrawn").first).to_be_visible()


def test_live_updates_end_with_the_session(log_in, found):
    page = log_in("operator")
    (answer,) = found.forget(["person-50"])
    page.goto(f"/requests/{answer.request}")
    expect(page.get_by_text("It can be withdrawn until")).to_be_visible()
    other = page.context.new_page()
    other.goto("/")
    other.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible(timeout=20_000)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2_500)
    assert asked == []
    handling.withdraw(found.storage, answer.request, "mistake", "local")


def shown_in(zone, stamp):
    """A time of a page as a reader in ``zone`` sees it."""
    local = datetime.datetime.fromisoformat(stamp).astimezone(ZoneInfo(zone))
    return f"{local:%b} {local.day}, {local.year}, {local:%I:%M %p}"


def test_times_are_the_reader_s_with_utc_on_hover_also_in_what_is_updated(log_in, found):
    zone = "Asia/Kolkata"
    (answer,) = found.forget(["person-51"])
    page, plain = (log_in("operator", timezone_id=zone, locale="en-US", java_script_enabled=on) for on in (True, False))

    def seen(where):
        where.locator("time.local").first.wait_for()
        read = "all => all.map(time => [time.dateTime, time.textContent, time.title])"
        return where.locator("time.local").evaluate_all(read)

    for each in (page, plain):
        each.goto(f"/requests/{answer.request}")
    in_utc = {stamp: text for stamp, text, _title in seen(plain)}
    assert in_utc and all(text.endswith(" UTC") for text in in_utc.values())
    local = seen(page)
    assert {stamp: title for stamp, _text, title in local} == in_utc
    for stamp, text, _title in local:
        assert text.replace("\u202f", " ") == shown_in(zone, stamp)
    page.locator("time.local").evaluate_all("all => all.forEach(time => { time.isOld = true; })")
    handling.withdraw(found.storage, answer.request, "mistake", "local")
    expect(page.get_by_text("It can be withdrawn until")).to_have_count(0)  # by a live update
    assert page.locator("time.local").evaluate_all("all => all.some(time => !time.isOld)")
    assert all(title.endswith(" UTC") and text != title for _stamp, text, title in seen(page))


def test_below_600_pixels_a_table_becomes_cards_that_say_what_each_value_is(log_in, found):
    found.forget(["person-52"])
    page = log_in("operator", viewport={"width": 601, "height": 800})
    page.goto("/requests")
    look = """() => {
      const [row, heads] = [document.querySelector("table.cards tbody tr"), document.querySelectorAll("table.cards thead th")];
      const cells = [...row.querySelectorAll("[data-label]")];
      return {
        heads: [...heads].map(head => head.textContent), labels: cells.map(cell => cell.dataset.label),
        shown: cells.map(cell => getComputedStyle(cell, "::before").content.replaceAll('"', "")),
        below: cells.every((cell, i) => !i || cell.getBoundingClientRect().top >= cells[i - 1].getBoundingClientRect().bottom),
        head: document.querySelector("table.cards thead").getBoundingClientRect().width,
        wide: document.documentElement.scrollWidth - window.innerWidth,
      };
    }"""
    table = page.evaluate(look)
    assert set(table["shown"]) == {"none"} and not table["below"] and table["head"] > 300
    page.set_viewport_size({"width": 599, "height": 800})
    cards = page.evaluate(look)
    assert cards["shown"] == cards["labels"] and set(cards["labels"]) <= set(cards["heads"])
    assert cards["below"] and cards["head"] <= 1 and cards["wide"] <= 0
    accessible(page)
