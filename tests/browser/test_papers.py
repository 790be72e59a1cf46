"""Papers and evidence in a real browser: one page on A4, codes that a telephone reads, every tab and check, small and large."""

import re

import matplotlib.image
import numpy as np
import pytest
import zxingcpp
from playwright.sync_api import expect

from tests.browser.looks import accessible

SIZES = [{"width": 1280, "height": 900}, pytest.param({"width": 360, "height": 740}, marks=pytest.mark.soak)]
"""A narrow window is looked at by the stories (``test_stories``), and here in `make soak`."""


@pytest.fixture(scope="module")
def closed(served, found):
    """A request that is closed, with its receipt: made once, for all tests."""
    (answer,) = found.forget(["person-50"])
    found.process()
    return answer


def read(page, folder) -> str:
    """What a telephone reads from the code on a page."""
    picture = folder / "code.png"
    page.locator(".qr svg").screenshot(path=picture, scale="device")
    pixels = (matplotlib.image.imread(picture)[:, :, :3].mean(axis=2) * 255).astype(np.uint8)
    (code,) = zxingcpp.read_barcodes(pixels)
    return code.text


def pages_of(page) -> int:
    """The number of pages on A4 that a browser prints."""
    return len(re.findall(rb"/Type */Page[^s]", page.pdf(format="A4", prefer_css_page_size=True)))


def fits(page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
def test_a_person_gets_a_letter_and_a_certificate(size, log_in, closed, shot, tmp_path):
    page = log_in("operator", viewport=size, java_script_enabled=False, device_scale_factor=3)
    page.goto(f"/requests/{closed.request}")
    page.get_by_role("link", name="Receipt and letter").click()
    page.get_by_label("Id of the person").fill("person-5")
    page.get_by_role("button", name="Letter").click()
    expect(page.get_by_role("alert")).to_contain_text("was not made for this id")
    assert page.get_by_label("Id of the person").input_value() == "person-5"
    page.get_by_label("Id of the person").fill("person-50")
    page.get_by_label("Name and address").fill("Ms Ann Example\n1 Main Street")
    page.get_by_role("button", name="Receipt as a code").click()
    assert read(page, tmp_path) == closed.receipt
    shot(page, "documents")
    page.get_by_role("button", name="Letter").click()
    expect(page.get_by_role("heading", name="Your data have been erased")).to_be_visible()
    assert read(page, tmp_path) == closed.receipt and pages_of(page) == 1 and "person" not in page.url
    shot(page, "letter")
    page.goto(f"/requests/{closed.request}")
    page.get_by_role("link", name="Certificate for the person").click()
    expect(page.get_by_role("heading", name="Certificate that your data were erased")).to_be_visible()
    assert read(page, tmp_path).endswith(f"/verify?request={closed.request}") and pages_of(page) == 1
    shot(page, "certificate")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
def test_papers_are_accessible(size, log_in, closed):
    page = log_in("operator", viewport=size)
    for path in ("certificate", "documents"):
        page.goto(f"/requests/{closed.request}/{path}")
        accessible(page)
        fits(page)
    page.get_by_label("Id of the person").fill("person-50")
    page.get_by_role("button", name="Receipt as a code").click()
    accessible(page)
    fits(page)
    page.get_by_role("button", name="Letter").click()
    accessible(page)
    fits(page)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
def test_anybody_verifies_files(size, chromium, served, log_in, closed, shot, tmp_path):
    auditor = log_in("auditor")
    (tmp_path / "receipt.json").write_text(closed.receipt)
    listed = auditor.request.get(f"/v1/requests/{closed.request}").json()["certificates"]
    content = auditor.request.get(f"/v1/certificates/{listed[0]}?request={closed.request}").text()
    (tmp_path / "certificate.json").write_text(content)
    (tmp_path / "altered.json").write_text(content.replace("release.certified", "release.certifieD"))
    context = chromium.new_context(base_url=served, viewport=size)
    page = context.new_page()
    page.goto(f"/verify?request={closed.request}")
    expect(page.get_by_text("You came from a letter")).to_be_visible()
    accessible(page)
    page.get_by_label("Files: choose them").set_input_files([tmp_path / "receipt.json", tmp_path / "certificate.json"])
    page.get_by_label("Your id").fill("person-50")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("status")).to_have_count(2)
    expect(page.get_by_text("That is the request of the receipt, which is for the id that you gave.")).to_be_visible()
    assert page.title().startswith("Verify: everything is right")
    shot(page, "genuine")
    accessible(page)
    fits(page)
    page.get_by_label("Files: choose them").set_input_files([tmp_path / "altered.json"])
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert")).to_contain_text("Not genuine.")
    expect(page.get_by_role("status")).to_have_count(0)
    shot(page, "altered")
    accessible(page)
    fits(page)
    context.close()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
def test_a_certificate_for_the_house_by_keyboard(size, log_in, closed, shot):
    page = log_in("auditor", viewport=size)
    page.goto("/certificates/1")
    expect(page.get_by_role("status")).to_contain_text("Genuine.")
    expect(page.get_by_label("The signed statement")).to_contain_text("urn:expunge:certificate:v1")
    for name in ("Assumptions", "Limits", "Requests covered", "Evidence"):
        page.get_by_role("navigation", name="Parts").get_by_role("link", name=name).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        expect(page.get_by_role("navigation", name="Parts").locator("[aria-current]")).to_have_text(name)
        assert name in page.title()
        accessible(page)
        fits(page)
    shot(page, "evidence")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
def test_the_log_is_read_filtered_and_compared(size, log_in, closed, shot, tmp_path):
    page = log_in("auditor", viewport=size)
    (tmp_path / "kept.json").write_text(page.request.get("/v1/log/checkpoint").text())
    page.get_by_role("link", name="Log", exact=True).click()
    accessible(page)
    fits(page)
    page.get_by_label("What happened").select_option("model.fitted")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    shot(page, "filtered")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name="Exactly as it was signed")).to_be_visible()
    accessible(page)
    fits(page)
    page.goto("/log")
    page.get_by_label("The checkpoint that you kept").set_input_files(tmp_path / "kept.json")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was removed or rewritten.")
    shot(page, "compared")
    accessible(page)
    for name in ("The newest checkpoint", "The whole log", "The public keys", "All certificates"):
        with page.expect_download() as download:
            page.get_by_role("link", name=name, exact=True).click()
        assert download.value.path().stat().st_size > 100
