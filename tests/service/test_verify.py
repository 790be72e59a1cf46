"""Verify, the log's pages, and what anybody can download: for everybody, with every check named, and nothing kept."""

import io
import json
import zipfile

import pytest

from expunge.evidence.events import EventKind
from expunge.evidence.signing import PublicKeys, SigningKey
from expunge.ledger import excerpts, log, requests
from expunge.service import verifying
from expunge.service.event_words import WORDS


@pytest.fixture(scope="module")
def files(as_role, desk, closed):
    """Files as they leave the house, of a request that was closed: by name, their content."""
    earlier = as_role("consumer", "GET", "/v1/log/checkpoint").text
    receipt = desk("operator").ask("person-20")
    name = receipt["request"]
    number, *_ = closed(name)["certificates"]
    return {
        "receipt.json": receipt["receipt"],
        "certificate.json": as_role("consumer", "GET", f"/v1/certificates/{number}?request={name}").text,
        "bare.json": as_role("consumer", "GET", f"/v1/certificates/{number}").text,
        "log.json": as_role("consumer", "GET", "/v1/log/export").text,
        "earlier.json": earlier,
        "later.json": as_role("consumer", "GET", "/v1/log/checkpoint").text,
        "request": name,
    }


def verified(anybody, given, **more):
    listed = [{"name": name, "content": content} for name, content in given.items()]
    return anybody.post("/v1/verify", json={"files": listed, **more})


def test_each_file_says_which_checks_it_passed(anybody, files):
    given = {name: files[name] for name in ("receipt.json", "certificate.json", "log.json")}
    found = verified(anybody, given, subject="person-20").json()
    assert found["right"] and found["keys"] == "published"
    receipt, certificate, exported = found["findings"]
    assert "it is for the id that you gave" in receipt["passed"]
    assert receipt["claims"]["request"] == files["request"]
    assert "that is the request of the receipt, which is for the id that you gave" in certificate["passed"]
    assert "the events are exactly those that were signed: none was altered, left out, added or moved" in exported["passed"]
    assert "person-20" not in json.dumps(found)


def test_a_receipt_of_somebody_else_and_a_certificate_that_does_not_show_it(anybody, files):
    (receipt,) = verified(anybody, {"receipt.json": files["receipt.json"]}, subject="person-1").json()["findings"]
    assert receipt["genuine"] and "not for this subject" in receipt["problem"]
    answer = verified(anybody, {"a": files["receipt.json"], "b": files["bare.json"]}).json()
    assert not answer["right"]
    bare = answer["findings"][1]
    assert bare["genuine"] and "does not show which request it answers" in bare["problem"] and not bare["claims"]


def test_an_altered_file_says_nothing_that_could_be_taken_for_true(anybody, files):
    altered = files["certificate.json"].replace("release.certified", "release.certifieD", 1)
    for given in (altered, "no JSON", "{}", "", "[" * 5000):
        (found,) = verified(anybody, {"file": given}).json()["findings"]
        assert not found["genuine"] and found["problem"] and found["claims"] == {}


def test_two_states_of_the_log_are_compared(anybody, files):
    found = verified(anybody, {"later.json": files["later.json"], "log.json": files["log.json"]}).json()
    assert found["right"] and found["findings"][-1]["claims"]["relation"] in ("the same", "continues")
    found = verified(anybody, {"log.json": files["log.json"], "earlier.json": files["earlier.json"]}).json()
    assert found["findings"][-1]["files"] == ["earlier.json", "log.json"]
    assert found["findings"][-1]["claims"]["relation"] == "continues"
    found = verified(anybody, {"later.json": files["later.json"], "earlier.json": files["earlier.json"]}).json()
    assert not found["right"] and found["findings"][-1]["claims"]["relation"] == "not decidable"


def test_by_the_keys_that_the_reader_has(anybody, found, files):
    published = anybody.get("/v1/keys")
    assert (
        published.text == found.storage.public_key_path.read_text()
        and "expunge.pub" in published.headers["content-disposition"]
    )
    given = {"receipt.json": files["receipt.json"]}
    assert verified(anybody, given, keys=published.text).json()["right"]
    other = str(PublicKeys.of([(SigningKey.generate().pem, None)]))
    answer = verified(anybody, given, keys=other).json()
    assert answer["keys"] == "given" and "not among the trusted ones" in answer["findings"][0]["problem"]
    assert verified(anybody, given, keys="nothing").status_code == 422


def test_the_page_is_open_to_everybody(anybody, files):
    assert "upload" not in anybody.get("/verify?request=r-1").text and "r-1" in anybody.get("/verify?request=r-1").text
    page = anybody.post("/verify", files={"files": ("receipt.json", files["receipt.json"])}, data={"subject": "person-20"})
    assert page.status_code == 200 and "<strong>Genuine.</strong>" in page.text and "Your id" in page.text
    assert "It is for the id that you gave." in page.text and "person-20" not in page.text
    pasted = anybody.post("/verify", data={"text": f"\n{files['receipt.json']}\n"})
    assert "<strong>Genuine.</strong>" in pasted.text
    both = anybody.post("/verify", files=[("files", ("a", files["receipt.json"])), ("files", ("a", files["bare.json"]))])
    assert "a (1)" in both.text and "a (2)" in both.text
    wrong = anybody.post("/verify", files={"files": ("receipt.json", files["receipt.json"].replace("r", "s", 1))})
    assert "Not genuine." in wrong.text and "<dl>" not in wrong.text and 'role="alert"' in wrong.text
    assert anybody.post("/verify").status_code == 422
    assert anybody.post("/verify", data={"text": "x"}, files={"keys": ("k", b"no key")}).status_code == 422


def test_it_is_bounded(anybody, files, monkeypatch):
    many = {f"{number}": "x" for number in range(verifying.FILES + 1)}
    assert verified(anybody, many).status_code == 422
    assert anybody.post("/verify", files=[("files", (name, "x")) for name in many]).status_code == 422
    assert anybody.post("/verify", files={"files": ("big", b"x" * (5 << 20))}).status_code == 413
    for _ in range(verifying.AT_ONCE):
        assert verifying._turns.acquire(blocking=False)
    try:
        answer = verified(anybody, {"receipt.json": files["receipt.json"]})
        assert answer.status_code == 429 and answer.headers["retry-after"]
    finally:
        for _ in range(verifying.AT_ONCE):
            verifying._turns.release()
    assert verified(anybody, {"receipt.json": files["receipt.json"]}).json()["right"]


def test_the_log_has_pages_and_filters(logged_in, found, files):
    client, _csrf = logged_in("auditor")
    page = client.get("/log").text
    assert "Release certified" in page and "/log/1" not in page.split("Downloads")[1]
    fitted = client.get("/log?kind=model.fitted").text
    assert fitted.count("<tr><td") == 3 and "Model fitted" in fitted
    assert "There are no such events." in client.get("/log?since=2999-01-01").text
    assert "There are no such events." in client.get("/log?until=2000-01-01").text
    assert client.get("/log?since=2000-01-01&until=2999-01-01").text.count("<tr><td") == page.count("<tr><td")
    wrong = client.get("/log?since=yesterday")
    assert wrong.status_code == 422 and 'aria-invalid="true"' in wrong.text
    with found.storage.database.reading() as connection:
        size = log.size(connection)
        assert [excerpts.first_since(connection, at) for at in ("", "2999")] == [1, size + 1]
        assert [event.content["seq"] for event in excerpts.newest_entries(connection, None, (2, 4), 2)] == [4, 3]
    event = client.get("/log/1").text
    assert "workspace.created" in event and "/v1/log/inclusion/1" in event
    assert client.get("/log/999999").status_code == 404


def test_every_kind_of_event_has_words():
    assert set(WORDS) == set(EventKind)


def test_the_checkpoint_that_was_kept(logged_in, as_role, files):
    client, csrf = logged_in("auditor")
    kept = {"upload": ("checkpoint.json", files["earlier.json"])}
    page = client.post("/log/compare", data={"csrf": csrf}, files=kept).text
    assert "Nothing was removed or rewritten." in page
    assert "does not continue" in client.post("/log/compare", data={"csrf": csrf, "text": "{}"}).text
    assert client.post("/log/compare", data={"csrf": csrf}).status_code == 422
    answer = as_role("consumer", "POST", "/v1/log/compare", json={"checkpoint": files["earlier.json"]}).json()
    assert answer["right"] and answer["events"] and '"since"' in answer["file"]
    assert as_role("consumer", "POST", "/v1/verify", json={"files": [{"content": answer["file"]}]}).json()["right"]


def test_everything_can_be_downloaded(as_role, anybody, files):
    listed = as_role("consumer", "GET", "/v1/certificates?limit=2").json()
    assert len(listed["items"]) == 2 and listed["next"] == listed["items"][-1]["certificate"]
    rest = as_role("consumer", "GET", f"/v1/certificates?before={listed['next']}").json()
    assert rest["next"] is None and [row["certificate"] for row in rest["items"]] == list(range(listed["next"] - 1, 0, -1))
    archive = zipfile.ZipFile(io.BytesIO(as_role("consumer", "GET", "/v1/certificates/archive").content))
    assert len(archive.namelist()) == len(listed["items"]) + len(rest["items"])
    assert verified(anybody, {name: archive.read(name).decode() for name in archive.namelist()[:5]}).json()["right"]


def test_nothing_of_it_is_kept(anybody, found, files, caplog):
    with found.storage.database.reading() as connection:
        before = log.size(connection), len(requests.made(connection))
    with caplog.at_level(0):
        verified(anybody, {"secret-name.json": files["receipt.json"]}, subject="person-20")
    assert "person-20" not in caplog.text and "secret-name" not in caplog.text
    with found.storage.database.reading() as connection:
        assert (log.size(connection), len(requests.made(connection))) == before
