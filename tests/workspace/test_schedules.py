"""Models are refitted on a schedule that no row moves, never in the way of a request, and the status says when and why."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.privacy.budget import today
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace import Workspace
from expunge.workspace.days import day
from expunge.workspace.schedules import RefitCause
from expunge.workspace.status import status
from tests.workspace.people import people, workspace
from tests.workspace.test_workspace import problems


def scheduled(folder: Path, **schedule: int) -> Workspace:
    """A workspace with one model, fitted with another schedule than its settings say now."""
    found = workspace(folder, models=False)
    path = found.storage.configuration_path
    before = text = path.read_text()
    for name, value in schedule.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} = ")]
        text = text.replace(line, f"{name} = {value}")
    path.write_text(text)
    found = Workspace.open(found.storage.path)
    found.fit("churn", "churn", delta=1e-5)
    path.write_text(before)
    return Workspace.open(found.storage.path)


def at(day: date, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets it be another day, by which schedules go."""
    for module in ("privacy.budget", "workspace.queue", "workspace.status", "unlearning.unlearner", "unlearning.readable"):
        monkeypatch.setattr(f"expunge.{module}.today", lambda: day)


def command(found: Workspace, *arguments: str) -> dict:
    """What a command says, as JSON."""
    done = CliRunner().invoke(app, [*arguments, "-w", str(found.storage.path), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_models_are_refitted_on_the_schedule_they_were_fitted_with(tmp_path):
    """By hand a refit is charged like any release; the schedule's, for which somebody forgotten calls, resets the budget."""
    found = scheduled(tmp_path, refit_requests=3)
    found.forget(["person-1"])
    (first,) = found.process().outcomes
    by_hand = found.refit("churn").release.certificate
    assert not by_hand.scheduled
    assert by_hand.mu_total >= first.release.certificate.mu_total > 0
    (model,) = status(found.storage).models
    assert model.next_refit is None
    assert (model.last_refit.cause, model.last_refit.resets_budget) == (RefitCause.ASKED, False)
    found.forget(["person-2"])
    forgotten, refitted = found.process().outcomes
    assert forgotten.release.certificate.requests == 3
    (model,) = status(found.storage).models
    assert model.next_refit is None
    assert (model.last_refit.cause, model.last_refit.resets_budget) == (RefitCause.RELEASES, True)
    certificate = refitted.release.certificate
    assert (certificate.rung, certificate.scheduled, certificate.requests) == ("refit", True, 0)
    assert certificate.mu_total >= forgotten.release.certificate.mu_total
    found.forget(["person-3"])
    (after,) = found.process().outcomes
    assert after.release.certificate.mu_total == pytest.approx(after.release.certificate.mu)
    due = date.fromisoformat(after.release.certificate.since) + timedelta(days=1)
    (model,) = status(found.storage).models
    assert str(model.next_refit) == f"on {day(due.isoformat())}, or after 2 more releases"
    new = people(5, 5, seed=1)
    pq.write_table(new.set_column(0, "who", pa.array([f"new-{i}" for i in range(5)])), tmp_path / "new.parquet")
    found.append(str(tmp_path / "new.parquet"))
    (model,) = status(found.storage).models
    assert model.refits == (
        f"Its next refit is due on {day(due.isoformat())}, or after 1 more release. It was last refitted on "
        f"{day(model.last_refit.at)}, as scheduled by the number of releases; the privacy budget started again."
    )
    assert problems(found) == {}


def test_refits_come_every_night_and_after_the_requests(tmp_path, monkeypatch):
    """A model that forgot somebody is refitted from midnight on; whoever asks while one is refitted comes before the next."""
    found = workspace(tmp_path)
    found.forget(["person-1"])
    found.process()
    assert found.process().outcomes == []
    names = [model.name for model in status(found.storage).models]
    assert all(model.last_refit is None for model in status(found.storage).models)
    tomorrow = today() + timedelta(days=1)
    at(tomorrow, monkeypatch)
    due = [model["next_refit"] for model in command(found, "status")["models"]]
    assert due == [{"day": tomorrow.isoformat(), "releases": 199, "cause": "calendar"}] * len(names)
    found.forget(["person-2"])

    def asked_meanwhile(message: str) -> None:
        if message.startswith(f"{names[0]}: its scheduled refit is due"):
            assert [answer.state for answer in found.forget(["person-3"])] == ["accepted"]

    outcomes = found.process(asked_meanwhile).outcomes
    made = [(outcome.model, outcome.release.certificate.n_forgotten > 0) for outcome in outcomes]
    waited, meanwhile = ([(name, True) for name in names] for _ in range(2))
    assert made == [*waited, (names[0], False), *meanwhile, *((name, False) for name in names[1:])]
    assert {str(outcome.release.certificate.rung) for outcome in outcomes if outcome.release.certificate.n_forgotten == 0} == {
        "refit"
    }
    models = status(found.storage).models
    assert {model.last_refit.cause for model in models} == {RefitCause.CALENDAR}
    assert all("calendar; the privacy budget started again" in str(model.last_refit) for model in models)
    shown = CliRunner().invoke(app, ["status", "-w", str(found.storage.path)])
    told = " ".join(shown.output.split())
    for name in names:
        assert f"{name}: It" in told
    assert "as scheduled by the calendar; the privacy budget started again" in told
    assert problems(found) == {}


def test_a_request_is_recorded_while_a_model_is_refitted(tmp_path, monkeypatch):
    """Another process asks in the middle of a refit: it has its receipt before the refit ends, and is worked next."""
    found = scheduled(tmp_path, refit_requests=1)
    found.forget(["person-1"])
    asked: list[subprocess.CompletedProcess[str]] = []
    refit, receipts = Unlearner.refit, tmp_path / "receipts"

    def slowly(self, *arguments):
        if not asked:
            asking = [sys.executable, "-m", "expunge", "forget", "person-2", "--json", "--receipts", str(receipts)]
            asked.append(subprocess.run([*asking, "-w", str(found.storage.path)], capture_output=True, text=True, check=False))
        return refit(self, *arguments)

    monkeypatch.setattr(Unlearner, "refit", slowly)
    done = found.process()
    (answered,) = asked
    assert answered.returncode == 0, answered.stdout + answered.stderr
    assert [answer["state"] for answer in json.loads(answered.stdout)] == ["accepted"]
    assert len(list(receipts.iterdir())) == 1
    made = [(outcome.release.certificate.n_forgotten > 0, outcome.release.certificate.scheduled) for outcome in done.outcomes]
    assert made == [(True, False), (False, True), (True, False)]
    assert done.closed == 2
    assert problems(found) == {}


@pytest.mark.parametrize("days", [1, 7])
def test_a_forced_refit_moves_no_day_of_the_schedule(days, tmp_path, monkeypatch):
    """On the command line, day by day: a refit that the ladder is forced into resets nothing, and the calendar's comes when it
    would have come. A model from which nobody is forgotten is left as it is."""
    found = scheduled(tmp_path, refit_days=days)
    found.fit("precise", "churn", delta=1e-5, sigma=1e-7)
    began = today()
    receipts = str(tmp_path / "receipts")
    command(found, "forget", *(f"person-{i}" for i in range(150)), "--receipts", receipts)
    forced = {release["model"]: release for release in command(found, "process")["releases"]}
    assert forced["precise"]["rung"] == "refit"
    model = {model["name"]: model for model in command(found, "status")["models"]}
    assert model["precise"]["last_refit"]["cause"] == "forced"
    assert not model["precise"]["last_refit"]["resets_budget"]
    assert model["precise"]["next_refit"] == {"day": (began + timedelta(days=1)).isoformat(), "releases": 199, "cause": None}
    assert model["churn"]["next_refit"] == {"day": (began + timedelta(days=days)).isoformat(), "releases": 199, "cause": None}
    for passed in range(1, days + 2):
        at(began + timedelta(days=passed), monkeypatch)
        models = [release["model"] for release in command(found, "process")["releases"]]
        assert models == sorted((["precise"] if passed == 1 else []) + (["churn"] if passed == days else []))
    for model in command(found, "status")["models"]:
        assert model["next_refit"] is None
        assert (model["last_refit"]["cause"], model["last_refit"]["resets_budget"]) == ("calendar", True)
    assert problems(found) == {}
