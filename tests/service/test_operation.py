"""The pages of models, audits, jobs and the operation, without a browser: who sees what, and what each says."""

import itertools
import json
import re
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from expunge.ledger import jobs, releases, tokens
from expunge.ledger.batches import BatchKind
from expunge.ledger.database import HEAD
from expunge.ledger.jobs import JobKind, JobState
from expunge.service import charts, words
from expunge.unlearning.report import CapacityReport, Forecast
from expunge.workspace.days import day
from tests.service.test_api import wait_for

PLAIN = ("rung", "anchor", "e+0", "μ", "None", "passes")
"""What no page says to an officer."""


@pytest.fixture(scope="module")
def visit(anybody, token):
    """``visit(role)``: a client in whose session that role has logged in, and the CSRF token of its forms."""
    clients = {}

    def visit(role):
        if role not in clients:
            client = TestClient(anybody.app)
            client.post("/login", data={"token": token[role]})
            clients[role] = client, {"csrf": re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)[1]}
        return clients[role]

    return visit


def said(page):
    """What a page says, as one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


@pytest.mark.parametrize("role", ["operator", "engineer", "auditor"])
def test_models_say_how_many_more_people_in_plain_words(visit, role):
    client, _csrf = visit(role)
    assert wait_for(lambda: "being worked out" not in client.get("/models").text)
    text = said(client.get("/models"))
    assert "It can forget about" in text and "without reading the data" in text and "% of the budget is used" in text
    one = said(client.get("/models/churn"))
    assert not re.search(r"\d{4}-\d{2}-\d{2}", text + one)  # days are written as people write them
    assert "Fetched by" in one and ("Retire it" in one) == (role == "engineer") == ("ONNX" in one)
    if role == "operator":
        assert [word for word in PLAIN if word in text + one] == []


def test_a_job_is_followed_and_a_retirement_needs_the_name(visit, found):
    client, csrf = visit("engineer")
    wrong = client.post("/models/visits/retire", data={**csrf, "confirmed": "visit"})
    assert wrong.status_code == 422 and "This is not its name" in wrong.text and 'value="visit"' in wrong.text
    page = client.post("/models/visits/refit", data=csrf)
    number = int(page.url.path.rsplit("/", 1)[1])
    assert page.url.path == f"/jobs/{number}" and "Refit: visits" in said(page)
    assert wait_for(lambda: client.get(f"/jobs/{number}/state").headers.get("HX-Refresh") == "true")
    assert "done" in said(client.get(f"/jobs/{number}")) and "Release" in said(client.get(f"/jobs/{number}"))
    with found.storage.exclusive():
        first = client.post("/models/visits/refit", data=csrf).url.path
        assert wait_for(lambda: "being done" in said(client.get(first)))
        second = client.post("/models/visits/refit", data=csrf).url.path
        assert "cancelled" in said(client.post(f"{second}/cancel", data=csrf))
    assert wait_for(lambda: "done" in said(client.get(first)))
    officer, own = visit("operator")
    assert officer.post("/models/visits/refit", data=own).status_code == 403


def test_an_audit_has_a_history_a_figure_that_fits_its_caption_and_downloads(visit):
    client, csrf = visit("auditor")
    assert client.post("/audits", data={**csrf, "model": "nothing"}).status_code == 422
    where = client.post("/audits", data={**csrf, "model": "churn", "draws": "500"}).url.path
    assert wait_for(lambda: "Verdict: nothing was found" in client.get(where).text, 60)
    text = said(client.get(where))
    assert "with 99% confidence for all points together" in text and "on 250 releases of each" in text
    listed = said(client.get("/audits"))
    assert f"audit {where.rsplit('/', 1)[1]}" in listed and "nothing found" in listed and "Ann the auditor" in listed
    content = client.get(f"{where}/verdict.json")
    told = json.loads(content.text)["verdict"]
    assert told["is_honest"] and content.headers["Content-Disposition"].startswith("attachment")
    drawn = ElementTree.fromstring(client.get(f"{where}/figure.svg").content)
    assert drawn.tag.endswith("svg") and len(drawn.findall("{*}circle")) == len(told["black_box"]["curve"])
    assert visit("operator")[0].get(where).status_code == 200  # may see the evidence
    assert visit("operator")[0].get("/audits").status_code == 403
    assert client.get("/audits/9999").status_code == 404


def test_the_cross_lies_below_the_line_exactly_where_the_verdict_is_that_the_certificate_is_wrong():
    curve = [[1.0, 0.0], [0.5, 0.1], [0.0, 1.0]]
    base = {"n_draws": 500, "confidence": 0.99, "band": 0.05, "curve": curve, "certified_mu": 1.0}
    for bounds, is_wrong in (((0.05, 0.2), True), ((0.3, 0.6), False)):
        plot = charts.trade_off({**base, "false_positives_bound": bounds[0], "false_negatives_bound": bounds[1]})
        x, y = plot["bound"]
        line = [tuple(map(float, point.split(","))) for point in plot["certified"].split()]
        height = next(b[1] + (a[1] - b[1]) * (b[0] - x) / (b[0] - a[0]) for a, b in itertools.pairwise(line) if b[0] >= x)
        assert (y > height) == is_wrong  # y grows downwards


def test_the_operation_shows_worker_stuck_tokens_instances_and_versions(visit, found):
    client, csrf = visit("engineer")
    with found.storage.database.writing() as connection:
        secret = tokens.issue(connection, "Old partner", "consumer")
    assert wait_for(lambda: "this one" in client.get("/operation").text)
    text = said(client.get("/operation"))
    for part in ("Requests are being worked", "No request is stuck", "Old partner", "this one", "SQLite 3", "Python", HEAD):
        assert part in text
    identity = secret.split("_")[1]
    assert "revoked" in said(client.post(f"/operation/tokens/{identity}/revoke", data=csrf))
    with found.storage.database.reading() as connection:
        assert tokens.by_id(connection, identity) is None
    where = client.post("/operation/doctor", data={**csrf, "depth": "seconds"}).url.path
    assert wait_for(lambda: "checks: all is well" in said(client.get(where)))
    assert "Well: no batch is unfinished" in said(client.get(where))
    auditor = visit("auditor")[0]
    assert "Revoke" not in auditor.get("/operation").text and auditor.get("/operation").status_code == 200
    assert visit("operator")[0].get("/operation").status_code == 403


def test_a_model_that_is_set_aside_says_so_and_what_to_do(visit, found):
    try:
        with found.storage.database.writing() as connection:
            releases.set_aside(connection, "spend", "its budget is spent", "2999")
        assert "its budget is spent To do: refit it" in said(visit("engineer")[0].get("/models"))
        text = said(visit("operator")[0].get("/models/spend"))
        assert "It can forget nobody now. Tell an engineer" in text and "its budget is spent" not in text
    finally:
        with found.storage.database.writing() as connection:
            releases.set_aside(connection, "spend", None)


def test_budgets_turn_amber_and_red_and_numbers_are_round():
    assert [words.Spent.of(share).level for share in (0.0, 0.69, 0.7, 0.89, 0.9, 2.0)] == [
        *("good", "good", "amber", "amber", "red", "red")
    ]
    forecasts = (Forecast(0, 2047, 12), Forecast(1, 13_420, 80), Forecast(2, None, None))
    report = CapacityReport(0.0, 1e5, 0.1, 1.0, 0.2, 0.5, forecasts)
    assert words.can_forget(report) == (
        "It can forget about 2,000 without reading the data, 13,000 with one reading of the remaining rows: so many rows of "
        "people at random, in one go. More than that takes a refit."
    )
    assert words.hardest(report) == (
        "Of the people who matter most to it, about 12 without reading the data, 80 with one reading of the remaining rows."
    )
    none = CapacityReport(0.0, 1e5, 0.1, 1.0, 0.2, 0.5, (Forecast(0, 0, 0),))
    assert words.can_forget(none) == "It can forget nobody more without a refit."


def test_an_interrupted_job_says_what_to_do(visit, found):
    with found.storage.database.writing() as connection:
        number = jobs.add(connection, JobKind.REFIT, "spend", "{}", "t", "i-gone")
        jobs.start(connection, number, "i-gone")
    client, _csrf = visit("auditor")
    assert wait_for(lambda: "the service ended" in said(client.get(f"/jobs/{number}")))
    with found.storage.database.reading() as connection:
        assert jobs.by_id(connection, number).state == JobState.FAILED


def test_the_timeline_counts_refits_and_not_the_first_fit(found):
    with found.storage.database.reading() as connection:
        made = releases.listed(connection, "churn")
    chart = charts.spending(made[:1])
    assert [mark["text"] for mark in chart["days"]] == [f"1, {day(made[0].at)}"]
    assert chart["refits"] == [] and "1 release, 0 of them refits" in chart["text"]
    with found.storage.database.reading() as connection:
        refitted = [row for row in releases.listed(connection) if row.kind == BatchKind.REFIT]
    assert len(charts.spending([*made[:1], *refitted[:1]])["refits"]) == len(refitted[:1])
