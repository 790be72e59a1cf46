"""Evidence bound to its object: a request to its release, a receipt to its person, a log to its past; on real workspaces."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.files import listing_digest
from expunge.data.pseudonyms import SubjectKey
from expunge.errors import LedgerCorrupt
from expunge.evidence.coverage import Coverage
from expunge.evidence.events import EventKind
from expunge.evidence.proofs import root_of
from expunge.evidence.receipts import committed
from expunge.evidence.signing import SigningKey
from expunge.evidence.statements import CHECKPOINT, canonical, predicate_of
from expunge.evidence.verification import ProvenCertificate, verify_content
from expunge.ledger import hooks, log, releases, tokens
from expunge.ledger.bindings import require_bound, table_commitment
from expunge.service.access import AccessControl
from expunge.service.app import create_app
from expunge.workspace import Workspace
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.configuration import Configuration
from expunge.workspace.states import state_of
from tests.workspace.people import people, workspace

HEX = re.compile("[0-9a-f]{64}")


class Line:
    """The command line, in a folder with the workspace ``ws``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, code: int = 0, given: str | None = None):
        result = self.raw(*arguments, "--json", given=given)
        assert result.exit_code == code, (arguments, result.output)
        return json.loads(result.stdout)

    def raw(self, *arguments: str, given: str | None = None):
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            result = CliRunner().invoke(app, list(arguments), input=given)
        finally:
            os.chdir(before)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def verify(self, *arguments: str, code: int = 0, given: str | None = None):
        return self("verify", *arguments, "--key", "ws/expunge.pub", code=code, given=given)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A workspace with two models, in which two people asked together and one later; the requests."""
    folder = tmp_path_factory.mktemp("lived")
    workspace(folder, models=("churn", "spend"))
    run = Line(folder)
    asked = run("forget", "person-1", "person-2", "-w", "ws")
    run("process", "--now", "-w", "ws")
    (later,) = run("forget", "person-3", "-w", "ws")
    run("process", "--now", "-w", "ws")
    run("forget", "person-4", "-w", "ws")
    return run, [*(answer["request"] for answer in asked), later["request"]]


def predicates(found: Workspace) -> list[Mapping[str, Any]]:
    with found.storage.database.reading() as connection:
        return [predicate_of(row.envelope) for row in releases.all_releases(connection)]


class TestCoverage:
    def test_a_certificate_shows_that_it_answers_the_request_of_a_receipt(self, lived):
        run, (one, other, later) = lived
        for number, request in ((3, one), (4, one), (3, other), (5, later)):
            run("certificate", str(number), "--request", request, "--out", "c.json", "-w", "ws")
            shown = run.verify("c.json", "--receipt", f"receipts/{request}.json")
            assert shown["genuine"] and shown["covers"] == request
        subject = ("c.json", "--receipt", f"receipts/{later}.json", "--subject", "-")
        assert run.verify(*subject, given="person-3\n")["of_subject"] == "person-3"
        assert "not for this subject" in run.verify(*subject, given="person-4\n", code=4)["problem"]
        text = run.raw("verify", *subject[:3], "--key", "ws/expunge.pub").stdout
        assert f"release 3 of churn answers request {later}" in " ".join(text.split())

    def test_of_another_request(self, lived):
        run, (one, other, later) = lived
        run("certificate", "3", "--request", one, "--out", "c.json", "-w", "ws")
        for request in (other, later):
            shown = run.verify("c.json", "--receipt", f"receipts/{request}.json", code=4)
            assert shown["genuine"] and f"it answers {one}, but the receipt is for {request}" in shown["problem"]
            assert f"expunge certificate 3 --request {request} --out FILE" in shown["problem"]

    def test_without_a_proof(self, lived):
        run, (one, *_others) = lived
        run("certificate", "3", "--out", "c.json", "-w", "ws")
        shown = run.verify("c.json", "--receipt", f"receipts/{one}.json", code=4)
        assert shown["genuine"] and "does not show which request it answers" in shown["problem"]
        command = re.search(r"expunge (certificate 3 --request \S+ --out )FILE", shown["problem"])
        run(*command[1].split(), "c.json", "-w", "ws")
        assert run.verify("c.json", "--receipt", f"receipts/{one}.json")["covers"] == one

    def test_altered(self, lived):
        run, (one, other, _later) = lived
        run("certificate", "3", "--request", one, "--out", "c.json", "-w", "ws")
        content = json.loads((run.folder / "c.json").read_text())
        theirs = json.loads((run.folder / f"receipts/{other}.json").read_text())
        said = predicate_of(theirs["envelope"])
        forged = {**content["covers"], "request": other, "commitment": said["commitment"]}
        (run.folder / "forged.json").write_text(canonical({**content, "covers": forged}))
        for receipt in ((), ("--receipt", f"receipts/{other}.json")):
            shown = run.verify("forged.json", *receipt, code=4)
            assert not shown["genuine"] and "does not show that it is in the tree that was signed" in shown["problem"]
        other_release = json.loads(run.raw("certificate", "5", "--json", "-w", "ws").stdout)["bundle"]
        (run.folder / "forged.json").write_text(canonical({**other_release, "covers": content["covers"]}))
        assert not run.verify("forged.json", "--receipt", f"receipts/{one}.json", code=4)["genuine"]

    def test_a_release_that_does_not_answer_it_says_which_do(self, lived):
        run, (one, *_others) = lived
        refused = run("certificate", "5", "--request", one, "-w", "ws", code=3)
        assert refused["message"] == f"certificate 5 does not answer request {one}: certificates 3, 4 do"
        assert run("certificate", "3", "--request", "r-0", "-w", "ws", code=3)["reason"] == "unknown-request"
        waiting = run("status", "-w", "ws")["open"][0]["request"]
        refused = run("certificate", "3", "--request", waiting, "-w", "ws", code=3)
        assert "it is accepted, and no certificate answers it" in refused["message"]

    def test_every_release_carries_them_and_they_tell_nothing(self, lived):
        run, _requests = lived
        found = Workspace.open(run.folder / "ws")
        claims = predicates(found)
        assert len(claims) == 6
        for name in ("requests", "table"):
            values = [claim[name] for claim in claims]
            assert len(set(values)) == 6 and all(HEX.fullmatch(value) for value in values)  # one batch, one table, other salts
        assert len({(claim["model"], claim["schema"]) for claim in claims}) == 2
        with found.storage.database.reading() as connection:
            fitted = {
                event.text("model"): event.text("specification") for event in log.of_kind(connection, EventKind.MODEL_FITTED)
            }
        assert {claim["model"]: claim["schema"] for claim in claims} == fitted

    def test_they_are_opened_by_the_salt(self, tmp_path):
        found = workspace(tmp_path, models=("churn",))
        with found.storage.database.reading() as connection:
            row, model = releases.current(connection, "churn"), releases.named(connection, "churn")
        salt, (claim,) = json.loads(row.evidence)["salt"], predicates(found)
        assert claim["requests"] == Coverage.of(salt, []).root
        assert claim["schema"] == committed(model.salt, "churn", model.specification)
        assert claim["table"] == table_commitment(salt, listing_digest(found.storage.table.files()))

    def test_a_correction_is_covered_too(self, tmp_path):
        _found, run = workspace(tmp_path, models=("churn",)), Line(tmp_path)
        rows = people().slice(0, 1).set_column(0, "who", [["person-7"]])
        pq.write_table(rows, tmp_path / "right.parquet")
        done = run("rectify", "person-7", "--file", "right.parquet", "-w", "ws")
        run("certificate", "2", "--request", done["request"], "--out", "c.json", "-w", "ws")
        assert run.verify("c.json", "--receipt", done["receipt"], "--subject", "person-7")["covers"] == done["request"]

    def test_over_the_api(self, lived):
        run, (one, _other, later) = lived
        found = Workspace.open(run.folder / "ws")
        with found.storage.database.writing() as connection:
            token = {role: tokens.issue(connection, role, role) for role in ("consumer", "operator")}
        with found.storage.database.reading() as connection:
            keys = found.storage.public_keys(connection)
        with TestClient(create_app(found, every=600)) as client:

            def get(path: str):
                return client.get(path, headers={"Authorization": f"Bearer {token['consumer']}"})

            answer = get(f"/v1/certificates/3?request={one}")
            receipt = (run.folder / f"receipts/{one}.json").read_text()
            proven = verify_content(answer.text, keys, "person-1", receipt)
            assert isinstance(proven, ProvenCertificate) and proven.covers == one
            assert get(f"/v1/certificates/3?request={later}").status_code == 404
            assert get("/v1/certificates/3?request=r-0").status_code == 404
            assert get(f"/v1/certificates/3?request={one}&form=dsse").status_code == 422
            assert get("/v1/certificates/3?request=%00").status_code == 422

            def again(request: str, subject: str):
                headers = {"Authorization": f"Bearer {token['operator']}"}
                return client.post(f"/v1/requests/{request}/receipt", json={"subject": subject}, headers=headers)

            assert again(one, "person-1").json() == {"request": one, "receipt": receipt}
            assert [again(one, "person-2").status_code, again("r-0", "person-1").status_code] == [422, 404]
            assert "person-2" not in again(one, "person-2").text


class TestReceipts:
    def test_they_are_for_their_owner_alone_and_can_be_made_again(self, lived):
        run, (one, _other, later) = lived
        for request, subject in ((one, "person-1"), (later, "person-3")):
            path = run.folder / f"receipts/{request}.json"
            first = path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
            path.unlink()
            assert run("receipt", request, "--subject", subject, "-w", "ws")["receipt"] == f"receipts/{request}.json"
            assert path.read_bytes() == first and path.stat().st_mode & 0o077 == 0
            path.unlink()
            run("receipt", request, "--subject", "-", "-w", "ws", given=f"{subject}\n")
            assert path.read_bytes() == first

    def test_not_for_somebody_else(self, lived):
        run, (one, *_others) = lived
        (refused,) = run("forget", "nobody", "-w", "ws", code=3)
        for request, subject, reason in (
            (one, "person-2", "another-subject"),
            ("r-0", "person-1", "unknown-request"),
            (refused["request"], "nobody", "no-receipt"),
        ):
            answer = run("receipt", request, "--subject", subject, "--receipts", "others", "-w", "ws", code=3)
            assert answer["reason"] == reason and request in answer["message"]
        assert not (run.folder / "others").exists()
        assert run("receipt", one, "--subject", "-", "-w", "ws", given="", code=1)["message"].startswith("no subject was given")

    def test_after_a_new_key_they_say_the_same(self, tmp_path):
        found, run = workspace(tmp_path, models=False), Line(tmp_path)
        (asked,) = run("forget", "person-1", "-w", "ws")
        before = predicate_of(json.loads((tmp_path / asked["receipt"]).read_text())["envelope"])
        found.rotate_key()
        run("receipt", asked["request"], "--subject", "person-1", "-w", "ws")
        assert predicate_of(json.loads((tmp_path / asked["receipt"]).read_text())["envelope"]) == before
        assert run.verify(asked["receipt"], "--subject", "person-1")["genuine"]

    def test_a_folder_that_cannot_be_written_to_changes_nothing(self, tmp_path):
        workspace(tmp_path, models=False)
        run = Line(tmp_path)
        (tmp_path / "file").write_text("")
        pq.write_table(people().slice(0, 1).set_column(0, "who", [["person-7"]]), tmp_path / "right.parquet")
        for command in (("forget", "person-1"), ("rectify", "person-7", "--file", "right.parquet")):
            for folder in ("file", "file/receipts", "/proc/receipts"):
                run(*command, "--receipts", folder, "-w", "ws", code=1)
        assert set(run("status", "-w", "ws")["requests"].values()) == {0}

    def test_one_that_could_not_be_written_is_said_and_made_again(self, tmp_path):
        """The disk is full for receipts: what stands is told, with exit code 6 and the command that makes them again."""
        workspace(tmp_path, models=False)
        full, replace = OSError(28, "No space left on device"), os.replace

        def failing(source: str, target: Path) -> None:
            if Path(target).parent.name == "receipts":
                raise full
            replace(source, target)

        run, patched = Line(tmp_path), pytest.MonkeyPatch()
        with patched.context() as context:
            context.setattr(os, "replace", failing)
            result = run.raw("forget", "person-1", "person-2", "--json", "-w", "ws")
        answers = json.loads(result.stdout)
        assert result.exit_code == 6
        assert [(answer["state"], answer["receipt"]) for answer in answers] == [("accepted", None)] * 2
        said = " ".join(result.stderr.split())
        for answer, subject in zip(answers, ("person-1", "person-2"), strict=True):
            assert f"make it again with expunge receipt {answer['request']} --subject -" in said
            run("receipt", answer["request"], "--subject", subject, "-w", "ws")
            assert run.verify(f"receipts/{answer['request']}.json", "--subject", subject)["genuine"]
        assert list((tmp_path / "receipts").glob(".*")) == []

    def test_a_damaged_state_does_not_keep_people_from_asking(self, tmp_path):
        found, run = workspace(tmp_path), Line(tmp_path)
        found.storage.state_path("churn", 1).write_bytes(b"")
        result = run.raw("forget", "person-1", "--json", "-w", "ws")
        (answer,) = json.loads(result.stdout)
        assert result.exit_code == 0 and answer["state"] == "accepted" and answer["influence"] is None
        assert (tmp_path / answer["receipt"]).exists() and "influence is not known" in " ".join(result.stderr.split())


def signed_log(key: SigningKey, entries: list[str]) -> str:
    """An exported log of ``entries``, as whoever has the key can make it."""
    predicate = {"size": len(entries), "root": root_of(entries)}
    checkpoint = key.sign(CHECKPOINT, {"log": root_of(entries)}, predicate)
    return canonical({"expunge": "log", "events": entries, "checkpoint": checkpoint})


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """Files of a log at two times, and of one that was rewritten in between, all signed by the workspace's own key."""
    folder = tmp_path_factory.mktemp("states")
    found, run = workspace(folder, models=("churn",)), Line(folder)
    run("checkpoint", "early.json", "-w", "ws")
    run("log", "early log.json", "-w", "ws")
    run("certificate", "1", "--out", "early certificate.json", "-w", "ws")
    (folder / "early bare.json").write_bytes((folder / "ws/checkpoint.json").read_bytes())
    run("forget", "person-1", "-w", "ws")
    run("process", "--now", "-w", "ws")
    run("checkpoint", "late.json", "-w", "ws")
    run("checkpoint", "late since.json", "--since", "early.json", "-w", "ws")
    run("log", "late log.json", "-w", "ws")
    run("certificate", "2", "--out", "late certificate.json", "-w", "ws")
    with found.storage.database.reading() as connection:
        key = found.storage.signing_key(connection)
    entries = json.loads((folder / "late log.json").read_text())["events"]
    size = len(json.loads((folder / "early log.json").read_text())["events"])
    rewritten = [entries[0], canonical({**json.loads(entries[1]), "kind": "nothing"}), *entries[2:]]
    for name, listed in (("forked late", rewritten), ("forked early", rewritten[:size]), ("longer", [*entries, "{}"])):
        text = signed_log(key, listed)
        (folder / f"{name} log.json").write_text(text)
        (folder / f"{name}.json").write_text(json.loads(text)["checkpoint"])
    return run


class TestContinuing:
    EARLY = ("early.json", "early log.json", "early certificate.json", "early bare.json")
    LATE = ("late.json", "late since.json", "late log.json", "late certificate.json")

    def answer(self, run: Line, earlier: str, later: str) -> str:
        result = run.raw("verify", earlier, "--continues", later, "--key", "ws/expunge.pub", "--json")
        shown = json.loads(result.stdout)
        assert result.exit_code == (0 if shown["answer"] in ("continues", "the same") else 4)
        assert (shown["problem"] is None) == (result.exit_code == 0) and shown["genuine"]
        return shown["answer"]

    @pytest.mark.parametrize("earlier", EARLY)
    def test_continues_where_it_is_shown(self, earlier, states):
        assert self.answer(states, earlier, "late since.json") == "continues"
        assert self.answer(states, earlier, "late log.json") == "continues"
        assert self.answer(states, earlier, "late.json") == "not decidable"
        assert self.answer(states, earlier, "late certificate.json") == "not decidable"

    def test_how_to_get_a_proof_is_said_and_true(self, states):
        result = states.raw("verify", "early bare.json", "--continues", "late.json", "--key", "ws/expunge.pub")
        assert "expunge checkpoint OUT --since EARLIER" in " ".join(result.stdout.split()) and result.exit_code == 4
        states("checkpoint", "out.json", "--since", "early bare.json", "-w", "ws")
        assert self.answer(states, "early bare.json", "out.json") == "continues"

    @pytest.mark.parametrize("group", [EARLY, LATE])
    def test_the_same(self, group, states):
        assert {self.answer(states, one, other) for one in group for other in group} == {"the same"}

    @pytest.mark.parametrize("later", LATE)
    def test_rolled_back(self, later, states):
        assert {self.answer(states, later, earlier) for earlier in self.EARLY} == {"rolled back"}

    def test_split_view(self, states):
        for form in ("", " log"):
            for earlier in self.EARLY:
                assert self.answer(states, earlier, f"forked early{form}.json") == "split view"
                assert self.answer(states, f"forked early{form}.json", earlier) == "split view"
                assert self.answer(states, earlier, "forked late log.json") == "split view"
                assert self.answer(states, "forked late log.json", earlier) == "split view"  # not only rolled back
            for later in ("late since.json", "late log.json"):
                assert self.answer(states, f"forked early{form}.json", later) == "split view"
            assert self.answer(states, f"forked early{form}.json", "late.json") == "not decidable"

    def test_a_proof_that_was_altered_is_not_genuine(self, states):
        content = json.loads((states.folder / "late since.json").read_text())
        content["since"]["proof"]["path"].reverse()
        (states.folder / "forged.json").write_text(canonical(content))
        shown = states.verify("early.json", "--continues", "forged.json", code=4)
        assert not shown["genuine"] and shown["answer"] is None and "forged.json" in shown["problem"]

    def test_a_receipt_says_nothing_of_the_log(self, states):
        receipt = next((states.folder / "receipts").iterdir())
        shown = states.verify("early.json", "--continues", str(receipt), code=4)
        assert "says nothing about the log" in shown["problem"]

    def test_the_workspace_itself_is_compared(self, states):
        """With ``--since`` a checkpoint kept elsewhere that is newer, or of another history, than the ledger."""
        for name, word in (("longer.json", "rolled back"), ("forked early.json", "split view")):
            refused = states("checkpoint", "none.json", "--since", name, "-w", "ws", code=4)
            assert refused["problem"].startswith(word)
            assert not (states.folder / "none.json").exists()
        refused = states("checkpoint", "none.json", "--since", "ws/expunge.pub", "-w", "ws", code=4)
        assert "ws/expunge.pub" in refused["problem"]

    def test_nothing_else_is_asked_with_it(self, states):
        result = states.raw("verify", "early.json", "--continues", "late.json", "--subject", "x", "--key", "ws/expunge.pub")
        assert result.exit_code == 2


BAD = {
    "empty": b"",
    "truncated": None,
    "deep": b'{"expunge":' + b"[" * 200_000,
    "deep and closed": b'{"expunge":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "huge number": b'{"expunge":' + b"9" * 100_000 + b"}",
    "twice": b'{"expunge":"log","expunge":"log","events":[],"checkpoint":""}',
    "nan": b'{"expunge":NaN}',
    "bytes": bytes(range(256)),
    "types": b'{"checkpoint":{},"events":{"a":[]},"expunge":"log"}',
    "[red]markup[/red]": b"[/]",
}


def test_verify_never_shows_a_traceback(lived):
    """4 for a bad file, whatever is wrong with it; 1 for one that is missing, or a missing key."""
    run, (one, *_others) = lived
    whole = (run.folder / f"receipts/{one}.json").read_bytes()
    (run.folder / "folder").mkdir(exist_ok=True)
    cases: list[tuple[tuple[str, ...], int]] = [(("folder",), 4), (("none.json",), 1), ((f"receipts/{one}.json",), 0)]
    for name, content in BAD.items():
        path = run.folder / f"{name.replace('/', '')}.json"
        path.write_bytes(whole[:-40] if content is None else content)
        cases.append(((path.name,), 4))
    run("certificate", "3", "--request", one, "--out", "c.json", "-w", "ws")
    cases += [(("c.json", "--receipt", "deep.json"), 4), (("c.json", "--receipt", "none.json"), 1)]
    cases += [(("c.json", "--continues", "deep.json"), 4), (("deep.json", "--continues", "c.json"), 4)]
    for arguments, expected in cases:
        assert run.raw("verify", *arguments, "--key", "ws/expunge.pub").exit_code == expected, arguments
    code = "import sys; from expunge.cli import app; app(sys.argv[1:])"
    for arguments in (("deep and closed.json",), ("c.json", "--receipt", "folder"), ("c.json", "--continues", "deep.json")):
        command = [sys.executable, "-c", code, "verify", *arguments, "--key", "ws/expunge.pub"]
        done = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 4 and "Traceback" not in done.stderr, (arguments, done.stdout, done.stderr)
    for key in ("none.pub", "folder"):
        assert run.raw("verify", "c.json", "--key", key).exit_code == 1


def test_edited_requests_are_noticed(tmp_path):
    found, run = workspace(tmp_path, models=("churn",)), Line(tmp_path)
    asked = run("forget", "person-1", "person-2", "-w", "ws")
    run("process", "--now", "-w", "ws")
    for statement in (
        "UPDATE requests SET commitment = '{}' WHERE id = '{}'".format("0" * 64, asked[0]["request"]),
        "UPDATE requests SET batch = NULL WHERE id = '{}'".format(asked[1]["request"]),
    ):
        with found.storage.database.engine.begin() as connection:
            connection.exec_driver_sql(statement)
        with found.storage.database.reading() as connection, pytest.raises(LedgerCorrupt):
            require_bound(connection, releases.current(connection, "churn"))
        run("doctor", "-w", "ws", code=4)


def test_no_secret_is_in_a_repr(tmp_path):
    found = workspace(tmp_path, models=("churn",))
    (answer,) = found.forget(["person-1"])
    storage = found.storage
    with storage.database.writing() as connection:
        _identity, secret = hooks.add(connection, "https://example.org", "2026")
        key, evidence = storage.signing_key(connection), json.loads(releases.current(connection, "churn").evidence)
        hook = hooks.listed(connection)
    unlearner = state_of(storage, "churn")
    private = base64.b64decode("".join(next(storage.keys.glob("signing-*.pem")).read_text().splitlines()[1:-1]))[-32:]
    configuration = Configuration(database="postgresql+psycopg://ann:pass-word@host/ledger")
    shown = [
        storage,
        storage.subject_key,
        key,
        key.signer,
        unlearner,
        unlearner._secret,
        unlearner.release,
        found,
        configuration,
    ]
    shown += [
        answer,
        ForgetRequest("person-1", "ann"),
        AccessControl(storage, b"session secret", is_secure=False),
        hook,
        storage.database,
    ]
    shown += [SubjectKey(b"subject secret"), storage.database.url, unlearner.release.certificate]
    text = " ".join(map(repr, shown))
    salt = predicate_of(json.loads(answer.receipt)["envelope"])["salt"]
    point = [repr(float(value)) for value in unlearner._secret.point]
    hidden = [secret, evidence["salt"], salt, private.hex(), repr(private), storage.subject_key.secret.hex(), "pass-word"]
    hidden += [
        json.loads(json.loads(answer.receipt)["envelope"])["payload"][-40:],
        repr(storage.subject_key.secret),
        "person-1",
        "subject secret",
        *(value[:10] for value in point),
    ]
    assert [value for value in hidden if value in text] == []
