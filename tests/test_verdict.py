"""The verdict: readable, honest about what it found, and written whole."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from expunge import audit
from expunge.audit.verdict import Verdict
from expunge.cli import app
from expunge.cli.demo import Demo


def release(**changes):
    honest = audit.AuditedRelease("pass", 3, 1e-3, 1e-4, 1e-9, 0.02, 0.002, 0.02, 0.002)
    return replace(honest, **changes)


def outside(distance):
    draws = [np.random.default_rng(seed).standard_normal((2000, 2)) for seed in (1, 2)]
    return audit.black_box(lambda _n: draws[0] + distance, lambda _n: draws[1], n_draws=2000)


def test_an_honest_model():
    verdict = Verdict(audit.ExactAudit((release(), release())), outside(0.0), 1e-5)
    assert verdict.is_honest
    assert str(verdict).startswith("Verdict: nothing was found that contradicts the certificates.")
    assert "the closest came to 10% of that" in str(verdict)
    assert "it cannot prove that there are none" in str(verdict)


@pytest.mark.parametrize(
    ("releases", "distance", "words"),
    [
        ((release(), release(true_distance=2e-3)), 0.0, "request 2 is farther from the retrained model"),
        ((release(true_mu_total=0.5),), 0.0, "request 1 is farther"),
        ((release(),), 2.0, "the best test told them apart"),
    ],
)
def test_a_broken_certificate_is_said_first(releases, distance, words):
    verdict = Verdict(audit.ExactAudit(releases), outside(distance), 1e-5)
    assert not verdict.is_honest
    assert str(verdict).startswith("Verdict: A CERTIFICATE IS WRONG")
    assert words in str(verdict)
    assert json.loads(verdict.to_json())["is_honest"] is False


def test_infinite_numbers_are_text_in_json():
    verdict = Verdict(audit.ExactAudit((release(certified_mu=np.inf, certified_mu_total=np.inf),)), outside(0.0), 1e-5)
    assert json.loads(verdict.to_json())["releases"][0]["certified_mu"] == "inf"


def test_the_command_audits_the_census(tmp_path):
    result = CliRunner().invoke(app, ["audit", str(tmp_path / "out"), "--draws", "200"])
    assert result.exit_code == 0, result.output
    assert "Verdict: nothing was found" in result.output
    content = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert [entry["forgotten"] for entry in content["releases"]] == [1, 20, 1]
    assert all(entry["true_distance"] <= entry["certified_distance"] for entry in content["releases"])
    assert content["black_box"]["epsilon_lower_bound"] <= content["black_box"]["certified_epsilon"]
    assert "by exact retraining the right one comes at place 1;" in " ".join(result.output.split())
    assert content["reconstruction"]["exact"] == 1
    assert content["reconstruction"]["noisy"] > 10
    assert "<svg" in (tmp_path / "out" / "audit.svg").read_text()


def test_the_command_fails_where_it_finds_a_fault(tmp_path, monkeypatch):
    verdict = Verdict(audit.ExactAudit((release(true_distance=1.0),)), outside(0.0), 1e-5)
    monkeypatch.setattr(Demo, "audited", lambda _self, _draws: verdict)
    result = CliRunner().invoke(app, ["audit", str(tmp_path)])
    assert result.exit_code == 4
    assert "A CERTIFICATE IS WRONG" in result.output
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["audit", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert "file cannot be written to (file exists): choose another folder" in " ".join(result.output.split())
