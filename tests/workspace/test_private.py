"""A privately proposed schema through the user's doors: command line, workspace, certificates, offline check, doctor."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.schema import FeatureSchema
from expunge.errors import LedgerCorrupt
from expunge.evidence.statements import predicate_of
from expunge.ledger import releases
from expunge.workspace import Workspace, checks
from expunge.workspace.specification import Specification

PEOPLE = 3000


def rows() -> pa.Table:
    """3,000 people, a third with two rows, and one with 40."""
    rng = np.random.default_rng(0)
    who = [f"p{i}" for i in range(PEOPLE)] + [f"p{i}" for i in range(0, PEOPLE, 3)] + ["loner"] * 40
    job = rng.choice(["nurse", "clerk"], len(who)).tolist()
    job[-40:] = ["astronaut"] * 40
    age = rng.integers(20, 30, len(who))
    late = rng.random(len(who)) < 0.3 + 0.05 * (age - 25)
    late[0], late[1] = True, False
    return pa.table({"who": who, "job": job, "age": age, "late": np.where(late, "yes", "no")})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(rows(), "p.parquet")

    def run(*arguments: str, code: int = 0):
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == code, result.output
        vars(run)["said"] = " ".join(result.stderr.split())
        return json.loads(result.stdout)

    return run


def test_epsilon_and_delta_go_from_the_schema_into_certificates_that_are_checked_offline(run, tmp_path):
    proposed = run("schema", "propose", "p.parquet", "--subject", "who", "--private", "3", "--out", "s.toml")
    assert (proposed["epsilon"], proposed["delta"]) == (3.0, 1e-6)
    assert "at most ε = 3, δ = 1e-06 about any one person" in run.said
    text = (tmp_path / "s.toml").read_text()
    assert "differential privacy" in text and "astronaut" not in text and "[private]" in text
    run("init", "ws", "--data", "p.parquet", "--subject", "who", "--schema", "s.toml")
    run("fit", "late", "--target", "late", "--delta", "1e-5", "-w", "ws")
    run("forget", "loner", "-w", "ws")
    run("process", "--now", "-w", "ws")
    numbers = [row["certificate"] for row in run("releases", "-w", "ws")]
    assert len(numbers) == 2
    for number in numbers:
        run("certificate", str(number), "--out", f"{number}.json", "-w", "ws")
        proven = run("verify", f"{number}.json", "--key", "ws/expunge.pub")
        assert proven["genuine"] and (proven["schema_epsilon"], proven["schema_delta"]) == (3.0, 1e-6)
        altered = (tmp_path / f"{number}.json").read_text()
        envelope = json.loads(altered)["certificate"]
        assert predicate_of(envelope)["schema_privacy"] == {"epsilon": 3.0, "delta": 1e-6}
    assert (tmp_path / "ws/schema.toml").read_text() == text  # nothing in it is looked at again
    assert all(finding["problem"] is None for finding in run("doctor", "-w", "ws"))


def test_a_workspace_proposes_its_own(run, tmp_path):
    run("init", "ws", "--data", "p.parquet", "--subject", "who", "--private", "3")
    assert "every certificate of a model that is fitted with it says so" in run.said
    schema = FeatureSchema.read(tmp_path / "ws/schema.toml")
    assert schema.private is not None and schema.private.epsilon == 3.0
    assert "astronaut" not in (tmp_path / "ws/schema.toml").read_text()  # 40 rows, one person


def test_a_declared_schema_has_no_such_figures(run, tmp_path):
    (tmp_path / "s.toml").write_text('[columns."age"]\nkind = "number"\nlow = 0\nhigh = 100\n')
    run("init", "ws", "--data", "p.parquet", "--subject", "who", "--schema", "s.toml")
    run("fit", "late", "--target", "late", "--delta", "1e-5", "-w", "ws")
    run("certificate", "1", "--out", "c.json", "-w", "ws")
    proven = run("verify", "c.json", "--key", "ws/expunge.pub")
    assert proven["schema_epsilon"] is None and proven["schema_delta"] is None


def test_the_doctor_notices_a_certificate_that_leaves_it_out(run, tmp_path, monkeypatch):
    run("schema", "propose", "p.parquet", "--subject", "who", "--private", "3", "--out", "s.toml")
    run("init", "ws", "--data", "p.parquet", "--subject", "who", "--schema", "s.toml")
    with monkeypatch.context() as patched:
        patched.setattr(Specification, "privacy", {})
        run("fit", "late", "--target", "late", "--delta", "1e-5", "-w", "ws")
    storage = Workspace.open(tmp_path / "ws").storage
    with pytest.raises(LedgerCorrupt, match="release 1 of late does not say how private its schema is"):
        checks.certificates(storage)
    with storage.database.reading() as connection:
        assert "schema_privacy" not in predicate_of(releases.current(connection, "late").envelope)


@pytest.mark.parametrize("epsilon", ["0", "-1", "nan"])
def test_bad_epsilons_change_nothing(run, tmp_path, epsilon):
    for command in (["schema", "propose", "p.parquet", "--out", "s.toml"], ["init", "ws", "--data", "p.parquet"]):
        refused = run(*command, "--subject", "who", f"--private={epsilon}", code=1)
        assert "epsilon of a private schema must be positive" in refused["message"]
    assert not (tmp_path / "s.toml").exists() and not (tmp_path / "ws").exists()


def test_too_few_people_and_two_schemas(run, tmp_path):
    refused = run("init", "ws", "--data", "p.parquet", "--subject", "who", "--private", "0.01", code=1)
    assert "too few people share anything" in refused["message"]
    assert not (tmp_path / "ws").exists()
    refused = run("schema", "propose", "p.parquet", "--subject", "nobody", "--private", "1", code=1)
    assert "no column 'nobody'" in refused["message"]
    (tmp_path / "s.toml").write_text('[columns."age"]\nkind = "number"\nlow = 0\nhigh = 100\n')
    refused = run("init", "ws", "--data", "p.parquet", "--subject", "who", "--private", "1", "--schema", "s.toml", code=1)
    assert "leave out schema, or private" in refused["message"]
