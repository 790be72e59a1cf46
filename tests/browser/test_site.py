"""The documentation as a reader sees it: in Chromium, page by page, with nothing fetched from elsewhere."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.site import SITE

FAULTS = r"""
() => {
  const article = document.querySelector("article");
  const formulas = [...article.querySelectorAll(".arithmatex")];
  const words = article.cloneNode(true);
  words.querySelectorAll(".arithmatex, code, pre, .highlight").forEach(part => part.remove());
  const stray = [...words.querySelectorAll("em, strong")].filter(part => {
    const [before, after] = [part.previousSibling?.textContent ?? "", part.nextSibling?.textContent ?? ""];
    const joined = /[\p{L}\p{N}\p{Sm}})]$/u.test(before) || /^[\p{L}\p{N}\p{Sm}({]/u.test(after);
    return joined || /[\p{Sm}^{}\\]/u.test(part.textContent);
  });
  return [
    ...formulas.filter(formula => formula.querySelector("em, strong")).map(formula => `marked up: ${formula.textContent}`),
    ...formulas.filter(formula => !formula.querySelector(".katex")).map(formula => `not set: ${formula.textContent}`),
    ...[...article.querySelectorAll(".katex-error")].map(error => `wrong: ${error.title}`),
    ...formulas.filter(formula => formula.scrollWidth > formula.clientWidth + 1 && formula.tagName === "DIV")
      .map(formula => `too wide: ${formula.querySelector("annotation").textContent}`),
    ...stray.map(part => `stray: ${part.outerHTML}`),
    ...(words.textContent.match(/.{0,20}([\^_]\{|\\[a-z]+|\$).{0,20}/g) ?? []).map(text => `raw: ${text}`),
  ];
}
"""


class Quiet(SimpleHTTPRequestHandler):
    """Answers from the built site, and logs nothing."""

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def reader(chromium):
    """A page, the address of the site on this machine, and every request that was for another host or found nothing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    page, astray = chromium.new_page(viewport={"width": 1300, "height": 900}), []
    ours = (address, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(ours) else astray.append(request.url))
    page.on("response", lambda response: astray.append(response.url) if response.status >= 400 else None)
    yield page, address, astray
    page.close()
    server.shutdown()
    server.server_close()


def test_every_page_shows_its_formulas_and_fetches_nothing_from_elsewhere(site, reader):
    page, address, astray = reader
    faults, formulas = {}, 0
    for file in sorted(SITE.rglob("index.html")):
        path = file.parent.relative_to(SITE).as_posix()
        page.goto(address if path == "." else f"{address}{path}/")
        formulas += page.locator(".katex").count()
        faults[path] = page.evaluate(FAULTS)
    assert {path: found for path, found in faults.items() if found} == {}
    assert astray == []
    assert formulas > 500


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("<p>Σ<em>{i∈S} s</em>i ℓ(x_i·w)</p>", "stray: <em>"),
        ("<p>by e^{−t} at most</p>", "raw: by e^{−t}"),
        (r"<p>at most \frac{1}{2}</p>", r"raw: at most \frac"),
        ("<p>costs $x at most</p>", "raw: costs $x"),
        (r"<p><span class='arithmatex'>\(x<em>i\)</em></span></p>", "marked up:"),
        (r"<p><span class='arithmatex'>\(x_i\)</span></p>", "not set:"),
        (
            "<p><span class='arithmatex'><span class='katex-error katex' title='Expected }'></span></span></p>",
            "wrong: Expected }",
        ),
    ],
)
def test_a_formula_that_is_garbled_is_found(chromium, content, fault):
    page = chromium.new_page()
    page.set_content(f"<article>{content}</article>")
    assert any(found.startswith(fault) for found in page.evaluate(FAULTS))
    page.close()
