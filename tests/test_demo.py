"""The demo does the main job on the real census data, and shows the truth beside the certificate."""

import json

import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.cli.demo import Demo
from expunge.unlearning.certificate import Certificate


@pytest.fixture(scope="module")
def shown():
    """The steps of the demo, and what the command that takes them says."""
    taken, all_of_them = [], Demo.steps

    def noted(demo):
        for step in all_of_them(demo):
            taken.append(step)
            yield step

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Demo, "steps", noted)
        result = CliRunner().invoke(app, ["demo"])
    return taken, result


@pytest.fixture(scope="module")
def steps(shown):
    return shown[0]


def test_every_rung_is_shown_and_certified(steps):
    assert {step.certificate.rung for step in steps} == {"statistics", "pass", "refit"}
    assert [step.certificate.n_forgotten for step in steps] == [1, 1000, 1, 5000, 5000]
    for step in steps:
        assert step.true_distance <= step.certificate.distance_bound
        assert step.certificate.epsilon_total <= step.certificate.epsilon == 1.0
    assert [step.certificate.rung for step in steps[:3]] == ["statistics"] * 3, (
        "a thousand people, and an unusual one, without rows"
    )


def test_what_is_forgotten_costs_no_more_than_the_noise_may(steps):
    """On held-out people the release is as good as the retrained model but for its noise."""
    for step in steps:
        assert abs(step.forgotten.log_loss - step.retrained.log_loss) < 0.03  # a thirtyfold of the mean, which no draw reaches
        assert step.retrained.accuracy == pytest.approx(0.85, abs=0.02)
        assert step.forgotten.accuracy == pytest.approx(step.retrained.accuracy, abs=0.04)


def test_the_command_prints_the_tables_and_ends_with_the_certificate(shown):
    _steps, result = shown
    assert result.exit_code == 0, result.output
    for word in ("statistics", "pass × 1", "refit", "certified", "true", "worst-served", "Held-out accuracy / log-loss"):
        assert word in result.output
    evidence = result.output[result.output.index("\n{") :]
    assert Certificate.from_json(evidence).rung == "refit"
    assert json.loads(evidence)["epsilon"] == 1.0


def test_the_command_line_alone_prints_its_help():
    result = CliRunner().invoke(app, [])
    assert "demo" in result.output


def test_what_the_sample_workspace_says_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(app, ["demo", "--workspace", "ws"])
    assert made.exit_code == 0, made.output
    lines = [line.strip() for line in made.output.splitlines() if line.startswith("  expunge ")]
    assert len(lines) == 5
    for command in [part.strip() for line in lines for part in line.split("&&") if "serve" not in part]:
        done = CliRunner().invoke(app, command.split()[1:])
        assert done.exit_code == 0, (command, done.output)
    assert CliRunner().invoke(app, ["doctor", "-w", "ws"]).exit_code == 0
    again = CliRunner().invoke(app, ["demo", "--workspace", "ws"])
    assert again.exit_code == 1
    assert "already exists" in again.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate.json", "receipts", "ws", "ws.csv"]
