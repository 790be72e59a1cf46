"""Leaks: what may leave the house is the same whatever the rows hold, but for weights, hours, signatures and random numbers.

Two tables of one shape go through a life of the service: the same people with as many rows each, other values, other labels,
other gaps. In one the statistics or a pass suffice, in the other it takes refits. Whatever is published is then compared.
"""

import base64
import hashlib
import io
import json
import re
import zipfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from expunge.client import Client
from expunge.evidence.coverage import Coverage
from expunge.evidence.heads import Head
from expunge.evidence.proofs import root_of
from expunge.evidence.receipts import committed
from expunge.evidence.signing import PublicKeys
from expunge.evidence.statements import canonical, digest, predicate_of
from expunge.evidence.verification import ProvenCertificate, verify_content
from expunge.ledger import log, releases, requests, tokens
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.service.app import create_app
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace import Workspace
from expunge.workspace.exports import Format, export
from tests.service.test_api import wait_for
from tests.service.test_worker import Receiver
from tests.workspace.people import people, with_mail, workspace

pytestmark = pytest.mark.filterwarnings("ignore::expunge.errors.NoiseDrownsModel")  # one table is hard on purpose

MODELS = ("churn", "spend", "visits")
ASKED = [f"person-{i}" for i in range(4)]
GAPPED = "person-6"
"""Has no value in one target, in one of the tables."""

HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d:00:00\+00:00")
RANDOM = {"sig", "keyid", "from", "salt", "commitment", "workspace", "subject_key", "token", "webhook"}
"""Signatures, keys, and what was drawn for the purpose."""
HASHES = {"endorsement", "root", "log", "path", "weights_digest", "sha256"}
"""Over the events or the weights, which are public themselves."""
BESIDES = {"date", "content-length", "etag", "ratelimit"}
"""Headers that follow from the content, or count calls."""
WEIGHTS = {"weights", "coef", "intercept"}


def same_shape(values: dict[str, object]) -> pa.Table:
    """The people of all tests, with other ``values`` in some columns."""
    table = people()
    for name, column in values.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(column))
    return table


def easy() -> pa.Table:
    """Nobody in it moves a model far; everybody has another id."""
    who, spend = people()["who"].to_pylist(), people()["spend"].to_pylist()
    table = same_shape({"spend": [1.0 if name == GAPPED else value for name, value in zip(who, spend, strict=True)]})
    return with_mail(table)


def hard() -> pa.Table:
    """The people who go move the models far: nearly all of a class, and counts that nobody comes near."""
    rng, who = np.random.default_rng(3), people()["who"].to_pylist()
    goes = np.isin(who, ASKED)
    table = same_shape(
        {
            "age": rng.uniform(20.0, 30.0, len(who)),
            "churn": np.where(goes | (rng.random(len(who)) < 0.02), "yes", "no"),
            "visits": np.where(goes, 40, 0) + rng.poisson(0.2, len(who)),
            "spend": [
                None if name == GAPPED else float(value) for name, value in zip(who, rng.normal(size=len(who)), strict=True)
            ],
        }
    )
    return table.append_column("mail", pa.array(["shared@x" if name == ASKED[0] else None for name in who], pa.string()))


def file_of(folder: Path, table: pa.Table, names: list[str]) -> str:
    """The first rows of ``table`` in a file, as the rows of ``names``."""
    path = folder / f"{names[0]}.parquet"
    pq.write_table(table.slice(0, len(names)).set_column(0, "who", pa.array(names)), path)
    return str(path)


@dataclass
class Life:
    """What came out of a life of the service.

    Args:
        published: by name, what anybody may see.
        rungs: what nobody may tell from it.
        commitments: published digests that 32 random bytes protect, found by opening them.
        envelopes: digests of the published certificates.
    """

    published: dict[str, Any]
    rungs: list[str]
    commitments: set[str]
    envelopes: set[str]


def lived(folder: Path, table: pa.Table) -> Life:
    """A workspace on ``table`` with its service: requests, refits, corrections, new rows, a new key; and what was published."""
    found = workspace(folder, table=table, aliases=("mail",))
    receiver, published = Receiver(failures=0), dict[str, Any]()
    with found.storage.database.writing() as connection:
        token: dict[str, str] = {role: tokens.issue(connection, role, role) for role in tokens.Role}
    with TestClient(create_app(found, every=0.1)) as client:
        http: Any = client
        desk = {role: Client("", given, http=http) for role, given in token.items()}

        def call(role: str, method: str, path: str, **kwargs: Any):
            return client.request(method, path, headers={"Authorization": f"Bearer {token[role]}"}, **kwargs)

        def worked(subjects: list[str]) -> None:
            with found.storage.exclusive():  # so that the worker takes them together
                answers: Any = desk["operator"].ask_many(subjects)
            made = [answer["request"] for answer in answers if answer["state"] == "accepted"]
            assert {desk["auditor"].wait_closed(each, every=0.05)["state"] for each in made} == {"closed"}
            told = ("state", "reason", "receipt", "deadline")  # to those who asked
            published[f"answers about {subjects[0]}"] = [{name: answer[name] for name in told} for answer in answers]

        assert call("engineer", "POST", "/v1/webhooks", json={"url": receiver.url}).status_code == 201
        worked([*ASKED, "nobody", ASKED[0]])
        assert desk["engineer"].wait(desk["engineer"].start("models/churn/refit"), every=0.05)["state"] == "done"
        corrected, _outcomes = found.rectify("person-8", file_of(folder, table, ["person-8", "person-8"]))
        found.append(file_of(folder, table.slice(50), ["new-1", "new-2"]))
        found.rotate_key()
        worked([GAPPED])
        published["receipt of a correction"] = corrected.receipt
        n_made = sum(1 for _ in _evidence(found))
        assert wait_for(lambda: len(receiver.releases()) == n_made - len(MODELS))  # those of the fits were before it listened
        receiver.close()
        published["webhooks"] = sorted(receiver.told, key=lambda body: (body["event"], body.get("certificate", 0)))
        for path in _paths(found):
            answer = call("consumer", "GET", path)
            tag = answer.headers.get("etag", "").strip('"')
            assert tag in ("", hashlib.sha256(answer.content).hexdigest()[:24]) or tag == str(answer.json()["certificate"])
            headers = {name: value for name, value in answer.headers.items() if name not in BESIDES}
            published[path] = [answer.status_code, headers, answer.text]
        for number, path in enumerate(_covering(found)):
            published[f"covering certificate {number}"] = call("consumer", "GET", path).text
    with found.storage.database.reading() as connection:
        published["log"] = log.export(connection)
        published["checkpoint"] = log.checkpoint_file(connection, _head(connection, 5))
        keys, rows = found.storage.public_keys(connection), releases.all_releases(connection)
        specified = [committed(row.salt, row.name, row.specification) for row in releases.all_models(connection)]
        bound = [_opened(connection, row) for row in rows]
    _verified(published, keys)
    published["public keys"] = len(found.storage.public_key_path.read_text().splitlines())
    for name in MODELS:
        published |= {f"{name} as {form}": exported(found, name, form, folder) for form in ("json", "onnx", "sklearn")}
    salted = {digest(row.evidence) for row in rows if re.fullmatch("[0-9a-f]{64}", json.loads(row.evidence)["salt"])}
    return Life(
        published,
        [json.loads(row.evidence)["rung"] for row in rows],
        salted.union(specified, *bound),
        {digest(row.envelope) for row in rows},
    )


def _evidence(found: Workspace) -> list[str]:
    with found.storage.database.reading() as connection:
        return [row.evidence for row in releases.all_releases(connection)]


def _head(connection: sa.Connection, size: int) -> Head:
    """The log's head when it had ``size`` events."""
    return Head(size, root_of([canonical(entry.content) for entry in log.entries(connection, 0, size)]))


def _opened(connection: sa.Connection, row: releases.Release) -> set[str]:
    """What a certificate is bound to, opened by the salt of its evidence as far as the ledger can: its requests.

    The table's files are gone, so of that it is only seen that no two releases have the same, although some have one table.
    """
    salt, claim = json.loads(row.evidence)["salt"], predicate_of(row.envelope)
    answered = [(request.id, request.commitment) for request in requests.of_batch(connection, row.batch)]
    assert claim["requests"] == Coverage.of(salt, answered).root
    same = [predicate_of(other.envelope)["table"] for other in releases.of_batch(connection, row.batch)]
    assert same.count(claim["table"]) == 1 and len(bytes.fromhex(claim["table"])) == 32
    return {claim["requests"], claim["table"]}


def _paths(found: Workspace) -> list[str]:
    """All that the role for outsiders may ask for, and some that it may not."""
    with found.storage.database.reading() as connection:
        size, numbers = log.size(connection), [row.id for row in releases.all_releases(connection)]
    return [
        *(f"/v1/certificates/{number}?form={form}" for number in numbers for form in ("json", "dsse", "evidence")),
        *(f"/v1/models/{name}/releases/latest" for name in MODELS),
        *(f"/v1/log/inclusion/{seq}" for seq in range(1, size + 2)),
        *("/v1/log/checkpoint", "/v1/log/events?limit=500", f"/v1/log/consistency?earlier=3&later={size}"),
        *(
            "/v1/models",
            "/v1/models/churn/capacity",
            "/v1/models/churn/releases",
            "/v1/requests",
            "/v1/health",
            "/metrics",
            "/",
        ),
        *("/healthz", "/v1/openapi.json", "/v1/certificates/999", "/v1/models/none/releases/latest"),
    ]


def _covering(found: Workspace) -> list[str]:
    """Every certificate with every request that it answers."""
    with found.storage.database.reading() as connection:
        rows = releases.all_releases(connection)
        answered = [(row.id, request.id) for row in rows for request in requests.of_batch(connection, row.batch)]
    assert len(answered) >= 6 * len(MODELS)
    return [f"/v1/certificates/{number}?request={request}" for number, request in answered]


def _verified(published: dict[str, Any], keys: PublicKeys) -> None:
    for name, content in published.items():
        if name.startswith("/v1/certificates") and name.endswith("json"):
            assert verify_content(content[2], keys).kind == "certificate"
        if name.startswith("covering"):
            proven = verify_content(content, keys)
            assert isinstance(proven, ProvenCertificate) and proven.covers
    assert verify_content(published["log"], keys).kind == "log"
    assert verify_content(published["receipt of a correction"], keys).kind == "receipt"


def exported(found: Workspace, name: str, form: Format, folder: Path) -> object:
    """What a model's export holds: all but the numbers in it, of which the sizes are kept."""
    path = folder / f"{name}.{form}"
    export(found.storage, name, form, path)
    if form == "json":
        return path.read_text()
    if form == "onnx":
        return len(path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        sizes = sorted(item.file_size for item in archive.infolist() if item.filename.endswith(".npy"))
        schema = re.sub(r'("(?:__id__|file)": )("[^"]*"|\d+)', r"\1null", archive.read("schema.json").decode())
    return [sizes, schema]


def plain(life: Life, value: Any, name: str = "") -> object:
    """``value`` without weights, hours, signatures and random numbers, each of them recognised as what it is."""
    if name == "covers" and "proof" in value:  # where among the random leaves it lies is random
        size = value["proof"]["metadata"]["size"]
        return [len(value["commitment"]), size, len(value["proof"]["path"]), len(value["proof"]["rule"])]
    if isinstance(value, dict):
        return {key: plain(life, item, key) for key, item in value.items()}
    if name in WEIGHTS:
        return np.shape(value)
    if name in RANDOM | HASHES:
        return len(value)
    if isinstance(value, list | tuple):
        return [plain(life, item, name) for item in value]
    if not isinstance(value, str):
        return value
    if name == "payload":
        return plain(life, json.loads(base64.b64decode(value)))
    if value.startswith("{"):
        return plain(life, json.loads(value))
    is_bound = name in ("schema", "requests", "table") and re.fullmatch("[0-9a-f]{64}", value)
    if name in ("evidence", "specification") or is_bound:
        assert value in life.commitments, f"the {name} is published without a salt"
        return "digest with a salt"
    if re.fullmatch("[0-9a-f]{64}", value):
        assert name == "certificate" and value in life.envelopes, f"{name} is a digest of nobody knows what"
        return "digest of a published certificate"
    if HOUR.fullmatch(value):
        return "an hour"
    return re.sub("r-[0-9a-f]{20}", "r-?", value)


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    return [lived(tmp_path_factory.mktemp(table.__name__), table()) for table in (easy, hard)]


def test_what_is_published_does_not_depend_on_the_rows(lives):
    one, other = lives
    assert one.rungs != other.rungs and {"statistics"} <= set(one.rungs[3:6]) and {"refit"} <= set(other.rungs[3:6])
    assert set(one.published) == set(other.published)
    for name in one.published:
        assert plain(one, one.published[name]) == plain(other, other.published[name]), name


def test_every_published_digest_of_secrets_has_its_salt(lives):
    for life in lives:
        claims = [
            json.loads(base64.b64decode(json.loads(content[2])["payload"]))["predicate"]
            for name, content in life.published.items()
            if name.endswith("dsse")
        ]
        assert len(claims) >= 14
        assert all(claim["evidence"] in life.commitments for claim in claims)
        text = json.dumps(life.published)
        assert "distance_bound" not in re.sub(r'"/v1/openapi.json": .*', "", text)


def test_a_refit_that_had_to_be_does_not_show_in_the_schedule(tmp_path):
    owed = []
    for table in (easy, hard):
        folder = tmp_path / table.__name__
        folder.mkdir()
        found = workspace(folder, table=table())
        found.forget([*ASKED, GAPPED])
        found.process()
        owed.append(_owed(found))
        found.refit("churn")
        assert _owed(found) == {**owed[-1], "churn": False}
    assert owed == [dict.fromkeys(MODELS, True)] * 2


def _owed(found: Workspace) -> dict[str, bool]:
    """By model, whether its anchor still depends on somebody forgotten, so that a refit will come."""
    with found.storage.database.reading() as connection:
        return {row.name: row.owed_since is not None for row in releases.all_models(connection)}


def test_what_comes_while_a_batch_is_worked_follows_it_in_the_log(tmp_path):
    found = workspace(tmp_path, models=("churn",), table=hard())
    found.forget(ASKED)
    late = []
    found.process(notify=lambda _message: late.extend(found.forget(["person-9", "nobody"])))
    assert [answer.state for answer in late] == ["accepted", "refused"]
    with found.storage.database.reading() as connection:
        events = log.entries(connection, 0, 100)
        assert log.verify_log(connection, found.storage.public_keys(connection), log.checkpoint(connection)) == len(events)
    kinds = [event.kind for event in events]
    batch = ["batch.begun", "batch.certified", "release.certified", "batch.closed"]
    assert kinds[-6:] == [*batch, "request.accepted", "request.refused"]
    assert events[-2].text("request") == late[0].request
    assert found.process().closed == 1


def test_the_digest_of_the_evidence_does_not_tell_a_label():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, (300, 2))
    y = np.where(rng.random(300) < 1.0 / (1.0 + np.exp(-X[:, 0])), 1.0, 0.0)
    objective = Objective(Logistic(), n_features=2, penalty=1.0)
    settings = Settings(Guarantee(1.0, 1e-5), sigma=0.1)

    def evidence(label: float):
        """Of a model that learned all other rows and this one with ``label``, and forgot it."""
        labels = np.array([label, *y[1:]])
        model = Unlearner.learn_from(objective, Rows.of(X, labels), settings)
        return model.forget(Rows.of(X[:1], labels[:1])).certificate

    secret = evidence(1.0)
    published = digest(secret.to_json())

    def guessed(salt: str) -> list[float]:
        """The labels that fit the digest, for somebody who knows all other rows, the seconds, and what is published."""
        known = partial(replace, seconds=secret.seconds, weights_digest=secret.weights_digest, salt=salt)
        return [label for label in (0.0, 1.0) if digest(known(evidence(label)).to_json()) == published]

    assert guessed(secret.salt) == [1.0]  # the salt alone is what keeps it
    assert guessed(evidence(1.0).salt) == guessed("") == []
    assert secret.salt not in json.dumps(secret.public()) and len(bytes.fromhex(secret.salt)) == 32
