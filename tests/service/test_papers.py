"""Papers: what people are given says what they may know, and nothing that depends on anybody's rows or names anybody."""

import base64
import html
import io
import re
import zipfile

import pytest
import sqlalchemy as sa

from expunge.evidence.verification import ProvenReceipt, verify_content
from expunge.ledger import requests, tables, times
from expunge.ledger.cases import Extension, Ground
from expunge.ledger.requests import RequestState
from expunge.service import papers
from expunge.service.codes import drawn
from expunge.service.pages import certificates, documents
from expunge.service.words import written

EVIDENCE = re.compile(r"rung|distance|μ|second|evidence|\brows?\b|noise|anchor|statistics|refit", re.IGNORECASE)
"""Words of evidence, which no paper for a person may have."""


@pytest.fixture(scope="module")
def erased(desk, closed):
    """The request of somebody whose rows are erased."""
    made = desk("operator").ask("person-31")
    assert closed(made["request"])["state"] == RequestState.CLOSED
    return made


def text_of(page: str) -> str:
    """What somebody reads of a page."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(svg|style|title).*?</\1>", "", page, flags=re.DOTALL))


def test_a_code_holds_the_receipt_and_nothing_else(as_role, erased):
    path = f"/v1/requests/{erased['request']}/receipt"
    answer = as_role("operator", "POST", f"{path}?form=svg", json={"subject": "person-31"})
    assert answer.headers["content-type"] == "image/svg+xml" and len(erased["receipt"]) < 1100
    assert answer.text == drawn(erased["receipt"], "The receipt as a code")
    assert "style=" not in answer.text and "<script" not in answer.text


def test_the_letter_says_what_has_become_of_the_request(as_role, desk, logged_in, erased, found):
    client, csrf = logged_in("operator")
    about = f"/requests/{erased['request']}/documents"
    assert client.get(about).status_code == 200
    form = {"csrf": csrf, "subject": "person-31", "to": "Ms <Ann>\n1 Main Street", "form": "letter"}
    page = client.post(about, data=form)
    said = text_of(page.text)
    assert "Your data have been erased" in said and erased["request"] in said and "Ms &lt;Ann&gt;" in page.text
    assert "person-31" not in page.text and not EVIDENCE.search(said)
    wrong = client.post(about, data={**form, "subject": "person-32"})
    assert wrong.status_code == 422 and "was not made for this id" in wrong.text
    assert 'value="person-32"' in wrong.text and "Ms &lt;Ann&gt;" in wrong.text and 'aria-invalid="true"' in wrong.text
    file = client.post(about, data={**form, "form": "file"})
    assert file.text == erased["receipt"] and f"receipt-{erased['request']}.json" in file.headers["content-disposition"]
    shown = client.post(about, data={**form, "form": "page"})
    assert drawn(erased["receipt"], "The receipt as a code") in shown.text
    with found.storage.exclusive():  # so that nobody works on it
        made = desk("operator").ask("person-33")
        path = f"/v1/requests/{made['request']}/receipt?form=html"
        confirmed = text_of(as_role("operator", "POST", path, json={"subject": "person-33"}).text)
        assert "We have received your request" in confirmed and "Answer due" in confirmed and "person-33" not in confirmed
        yes = {"csrf": csrf, "reason": "person", "confirm": "yes"}
        assert client.post(f"/requests/{made['request']}/cancel", data=yes).status_code == 303
        other = desk("operator").ask("person-37", reference="A/17 <b>")
        about = f"/requests/{other['request']}"
        longer = {"csrf": csrf, "months": "1", "reason": "complexity"}
        assert client.post(f"{about}/extend", data=longer).status_code == 303
        letter = client.post(f"{about}/documents", data={**form, "subject": "person-37"}).text
        assert "because it is complex" in text_of(letter) and "A/17 &lt;b&gt;" in letter
        refused = {"csrf": csrf, "reason": "legal-claims", "confirm": "yes"}
        assert client.post(f"{about}/refuse", data=refused).status_code == 303
        said = text_of(client.post(f"{about}/documents", data={**form, "subject": "person-37"}).text)
        assert "We cannot do what you asked" in said and "needed for legal claims" in said and "complain" in said
    withdrawn = text_of(as_role("operator", "POST", path, json={"subject": "person-33"}).text)
    assert "was withdrawn" in withdrawn and "Nothing was changed" in withdrawn


def test_many_letters_in_one_file(logged_in, found, tmp_path, monkeypatch):
    client, csrf = logged_in("operator")
    monkeypatch.setattr(documents, "PAPERS", 2)
    asked = {"csrf": csrf, "subject": "person-34\nperson-35\nperson-36\nnobody"}
    draft = re.search(r'name="draft" value="([^"]+)"', client.post("/requests/preview", data=asked).text)[1]
    page = client.post("/requests", data={"csrf": csrf, "draft": draft}).text
    kept = re.search(r'name="kept" value="([^"]+)"', page)[1]
    names = []
    for part in (0, 1):
        answer = client.post("/requests/letters", data={"csrf": csrf, "kept": kept, "part": part})
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        names += archive.namelist()
        for name in archive.namelist():
            letter = archive.read(name).decode()
            receipt = re.search(r"<pre>(.*?)</pre>", letter, re.DOTALL)[1].replace("&#34;", '"')
            with found.storage.database.reading() as connection:
                proven = verify_content(receipt, found.storage.public_keys(connection))
            assert isinstance(proven, ProvenReceipt)
            assert name == f"{proven.request}.html" and "person-3" not in letter and "<style>" in letter
            assert 'href="/' not in letter
    assert len(names) == len(set(names)) == 3 and not any("person" in name for name in names)
    for wrong in ({"kept": kept, "part": 2}, {"kept": "other"}):
        assert client.post("/requests/letters", data={"csrf": csrf, **wrong}).status_code == 404


def test_a_certificate_for_a_lay_reader_without_evidence(logged_in, as_role, erased, found, monkeypatch):
    client, _csrf = logged_in("auditor")
    page = client.get(f"/requests/{erased['request']}/certificate")
    said = text_of(page.text)
    assert "Certificate that your data were erased" in said and "3 computer models" in said
    assert not EVIDENCE.search(said), EVIDENCE.search(said)
    link = f"http://testserver/verify?request={erased['request']}"
    assert link in said and drawn(link, "The address of the page on which this can be checked") in page.text
    assert "no limits" not in said and client.get("/requests/r-0/certificate").status_code == 404
    with found.storage.database.reading() as connection:
        refused = connection.execute(sa.select(tables.requests.c.id).where(tables.requests.c.state == "refused")).scalar()
    assert client.get(f"/requests/{refused}/certificate").status_code == 409
    settings = {"letterhead": "Example Ltd\n1 Main Street", "public_url": "https://forget.example.org"}
    for name, value in settings.items():
        monkeypatch.setitem(found.storage.configuration.__dict__, name, value)
    page = client.get(f"/requests/{erased['request']}/certificate").text
    assert "Example Ltd\n1 Main Street" in page and "https://forget.example.org/verify?request=" in page


def test_a_letter_has_words_for_every_reason():
    assert set(papers.GROUNDS) == set(Ground) and set(papers.EXTENSIONS) == set(Extension)


def test_the_papers_name_no_more_than_the_request_may(as_role, erased, found):
    """All numbers on a certificate are days, its own, or published claims."""
    with found.storage.database.reading() as connection:
        row = requests.by_id(connection, erased["request"])
        answering = papers.answers(found.storage, connection, row)
    said = text_of(papers.certificate(papers.House("", "https://x", True), row, answering))
    claims = {str(written(each.claim[name])) for each in answering for name in ("epsilon", "delta", "release")}
    known = {*claims, *(str(each.certificate) for each in answering), str(len(answering)), "4"}  # A4
    days = re.findall(r"\d+", " ".join(papers.day(text) for text in (row.received, row.closed, times.now().isoformat())))
    numbers = {number.rstrip(".") for number in re.findall(r"\d[\d.e-]*", said.replace(row.id, ""))}
    assert numbers <= {*known, *days}


def test_every_part_of_a_certificate_for_the_house(logged_in, as_role, erased, found):
    client, _csrf = logged_in("auditor")
    number = as_role("auditor", "GET", f"/v1/requests/{erased['request']}").json()["certificates"][0]
    envelope = as_role("auditor", "GET", f"/v1/certificates/{number}?form=dsse").json()
    claim = client.get(f"/certificates/{number}").text
    signed = base64.b64decode(envelope["payload"]).decode()
    shown = html.unescape(re.search(r'<pre[^>]*aria-label="The signed statement">(.*?)</pre>', claim, re.DOTALL)[1])
    assert shown == signed and "<strong>Genuine.</strong>" in claim
    assert "epsilon, delta, noise" in client.get(f"/certificates/{number}?tab=assumptions").text
    assert "Copies of the data elsewhere" in client.get(f"/certificates/{number}?tab=limits").text
    assert erased["request"] in client.get(f"/certificates/{number}?tab=requests").text
    assert "answers no request" in client.get("/certificates/1?tab=requests").text
    evidence = client.get(f"/certificates/{number}?tab=evidence").text
    assert "distance bound" in evidence and "checked against it just now" in evidence
    assert "distance" not in text_of(claim)
    assert client.get(f"/certificates/{number}?tab=other").status_code == 422


@pytest.mark.parametrize(
    "change", [{"evidence": "replace(evidence, '\"passes\":', '\"passes\": 1')"}, {"envelope": "replace(envelope, 'A', 'B')"}]
)
def test_of_a_certificate_that_is_not_genuine_nothing_is_shown(change, logged_in, as_role, found):
    client, _csrf = logged_in("auditor")
    ((column, changed),) = change.items()
    engine = sa.create_engine(f"sqlite:///{found.storage.path / 'ledger.sqlite'}")
    with engine.begin() as connection:
        before = connection.execute(sa.text(f"SELECT {column} FROM releases WHERE id = 2")).scalar()
        connection.execute(sa.text(f"UPDATE releases SET {column} = {changed} WHERE id = 2"))
    try:
        for tab in ("claim", "evidence", "requests"):
            page = client.get(f"/certificates/2?tab={tab}").text
            said = text_of(page)
            assert "Not genuine." in said and "Genuine." not in said.replace("Not genuine.", "")
            assert "<dl>" not in page and "ε" not in said and said.index("Not genuine.") < said.index("Certificate 2")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE releases SET {column} = :before WHERE id = 2"), {"before": before})
        engine.dispose()
    assert "<strong>Genuine.</strong>" in client.get("/certificates/2").text


@pytest.mark.parametrize(
    ("table", "altered", "tabs"),
    [
        ("requests", "UPDATE requests SET commitment = 'c' WHERE id = :id", ("claim", "evidence", "requests")),
        ("forgotten_by", "DELETE FROM forgotten_by WHERE request = :id", ("claim", "evidence", "requests")),
        ("requests", "UPDATE requests SET received = '2020' WHERE id = :id", ("requests",)),
    ],
)
def test_requests_are_those_that_were_signed_wherever_that_is_said(table, altered, tabs, logged_in, as_role, erased, found):
    client, _csrf = logged_in("auditor")
    request = erased["request"]
    number = as_role("auditor", "GET", f"/v1/requests/{request}").json()["certificates"][0]
    engine = sa.create_engine(f"sqlite:///{found.storage.path / 'ledger.sqlite'}")
    kept = tables.metadata.tables[table]
    mine = kept.c["id" if table == "requests" else "request"] == request
    with engine.begin() as connection:
        before = [dict(row._mapping) for row in connection.execute(sa.select(kept).where(mine))]
        connection.execute(sa.text(altered), {"id": request})
    try:
        for tab in ("claim", "evidence", "requests"):
            page = client.get(f"/certificates/{number}?tab={tab}").text
            assert ("Not genuine." in page) == (tab in tabs), tab
    finally:
        with engine.begin() as connection:
            connection.execute(sa.delete(kept).where(mine))
            connection.execute(sa.insert(kept), before)
        engine.dispose()
    assert "<strong>Genuine.</strong>" in client.get(f"/certificates/{number}").text


def test_the_requests_of_a_release_are_shown_part_by_part(logged_in, as_role, found, monkeypatch):
    monkeypatch.setattr(certificates, "SHOWN", 2)
    mine = {answer.request for answer in found.forget([f"person-{i}" for i in range(71, 76)])}
    found.process()
    client, _csrf = logged_in("auditor")
    number = as_role("auditor", "GET", f"/v1/requests/{min(mine)}").json()["certificates"][0]
    seen, page = list[str](), f"/certificates/{number}?tab=requests"
    while page:
        text = client.get(page).text
        assert "5 requests that this release answers" in text
        seen += re.findall(r'<td data-label="Request"><a href="/requests/([^"]+)"', text)
        further = re.search(r'href="([^"]+)" rel="next"', text)
        page = html.unescape(further[1]) if further else None
    assert len(seen) == 5 and set(seen) == mine
