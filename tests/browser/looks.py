"""What holds of every page: it fits its window, says what it is, leads on, is in plain words, and axe finds nothing."""

import re

from axe_playwright_python.sync_playwright import Axe

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
JARGON = re.compile(r"\b(rungs?|anchors?|None|nan|undefined)\b|μ|\b\d(\.\d+)?e[+-]?\d+\b")
"""What no page says to an officer."""
axe = Axe()


def accessible(page) -> None:
    found = axe.run(page, options=RULES)
    assert found.violations_count == 0, found.generate_report()


def sound(page) -> None:
    """``page`` is a page that fits its window, has a title and one heading, and a way on."""
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{page.url} is {wide} px too wide"
    assert page.title().strip(" –") not in ("", "Expunge"), page.url
    assert page.locator("h1").count() == 1, page.url
    assert page.locator("a[href^='/']").count() > 0, page.url


def plain(page) -> None:
    """``page`` is in words that an officer uses; what was signed stays as it was."""
    text = page.evaluate(
        "() => { const main = document.querySelector('main').cloneNode(true);"
        " main.querySelectorAll('pre, code, svg, time').forEach(part => part.remove()); return main.textContent; }"
    )
    found = JARGON.search(text)
    assert found is None, f"{page.url}: {text[max(0, found.start() - 80) : found.end() + 80]!r}"


def looker(shot, *, scripts: bool = True, officer: bool = False, prefix: str = ""):
    """``look(page, name)``: keeps a screenshot, and looks at what holds of every page.

    Args:
        shot: keeps the screenshot.
        scripts: whether scripts run in the page, which axe needs.
        officer: whether it has to be in an officer's words.
        prefix: of the screenshots' names.
    """

    def look(page, name):
        shot(page, f"{prefix}{name}")
        sound(page)
        if officer:
            plain(page)
        if scripts:
            accessible(page)

    return look
