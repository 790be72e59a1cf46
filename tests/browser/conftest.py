"""A served workspace and Debian's Chromium, driven by Playwright.

In `make soak` and `make screenshots`, screenshots go to .screenshots/, which git ignores.
"""

import os
import re
import shutil
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import expect, sync_playwright

from expunge.ledger import tokens
from expunge.service.app import create_app
from tests.conftest import SOAK
from tests.workspace.people import workspace

expect.set_options(timeout=30_000)  # a page on a busy machine takes its time


SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def chromium():
    path = shutil.which("chromium")
    if path is None:
        missing = "Chromium is not installed: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("EXPUNGE_CI") else pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def token(found):
    with found.storage.database.writing() as connection:
        return {role: tokens.issue(connection, f"Ann the {role}", role) for role in tokens.Role}


@pytest.fixture(scope="module")
def app(found):
    return create_app(found, every=0.3)


@pytest.fixture(scope="module")
def served(app):
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    (port,) = {socket.getsockname()[1] for part in server.servers for socket in part.sockets}
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def log_in(chromium, served, token):
    """``log_in(role, …)``: a page of a new browser context in which that role has logged in."""
    contexts, errors = [], []

    def log_in(role, **options):
        context = chromium.new_context(base_url=served, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto("/")
        page.get_by_label("Token").fill(token[role])
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Today").wait_for()
        return page

    yield log_in
    for context in contexts:
        context.close()
    told = re.compile(
        "status of (401|403|422) "
    )  # the page that asks for a token, one's own approval, and forms that were wrong
    assert [text for text in errors if not told.search(text)] == []


@pytest.fixture
def shot(request):
    """``shot(page, name)``: keeps a screenshot, where somebody will look at it."""

    def shot(page, name):
        if SOAK > 1:
            SCREENSHOTS.mkdir(exist_ok=True)
            test = re.sub(r"\W+", "-", request.node.name)
            page.screenshot(path=SCREENSHOTS / f"{test}-{name}.png", full_page=True)

    return shot
