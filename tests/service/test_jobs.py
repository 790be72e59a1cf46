"""Jobs: long work is asked for, done one at a time, followed, withdrawn; it survives a restart, or says that it did not."""

import itertools
import logging
import time

import pytest

from expunge.ledger import jobs, log, tokens
from expunge.ledger.jobs import JobKind, JobState
from expunge.service import forecasts
from expunge.service import jobs as module
from expunge.service.faults import Faults
from expunge.service.jobs import Jobs
from tests.service.test_api import wait_for
from tests.workspace.people import workspace
from tests.workspace.test_workspace import problems


def test_a_refit_is_a_job(as_role, desk):
    before = as_role("auditor", "GET", "/v1/models/spend").json()["release"]
    asked = as_role("engineer", "POST", "/v1/models/spend/refit")
    assert (asked.json()["kind"], asked.json()["model"]) == ("refit", "spend") and asked.headers["Retry-After"] == "2"
    assert asked.status_code == 202
    job = desk("auditor").wait(asked.json(), every=0.05)
    assert job["state"] == "done" and job["problem"] is None and job["asked"] <= job["started"] <= job["ended"]
    assert job["result"]["release"] == before + 1
    assert as_role("auditor", "GET", "/v1/models/spend").json()["certificate"] == job["result"]["certificate"]


def test_an_audit_is_a_job_and_keeps_its_verdict(as_role, ended):
    job = ended("auditor", "models/churn/audit", draws=200)
    assert job["state"] == "done", job
    found = job["result"]["verdict"]
    assert found["is_honest"] and found["text"].startswith("Verdict") and found["black_box"]["n_draws"] == 100
    assert job["result"]["release"] >= 1
    (listed, *_) = as_role("auditor", "GET", "/v1/jobs?kind=audit").json()["items"]
    assert listed == job


def test_a_fit_then_a_retirement(as_role, ended, found):
    wanted = {"name": "again", "target": "visits", "model": "poisson", "penalty": 0.01, "sigma": 0.05}
    job = ended("engineer", "models", **wanted)
    assert (job["state"], job["result"]["release"]) == ("done", 1)
    assert as_role("engineer", "POST", "/v1/models", json=wanted).status_code == 409
    assert as_role("engineer", "POST", "/v1/models", json={**wanted, "name": "b", "target": "nothing"}).status_code == 422
    odd = ended("engineer", "models", **(wanted | {"name": "b", "penalty": -1.0}))
    assert (odd["state"], odd["cause"]) == ("failed", "asked") and "alpha must be" in odd["problem"]
    assert ended("engineer", "models/again/retire")["result"]["closed"] == 0
    assert as_role("auditor", "GET", "/v1/models/again").status_code == 404


ROW = {"age": 41.5, "job": "nurse", "tenure": 3, "churn": "no", "visits": 2, "spend": 4.2}


def test_rows_are_added_and_corrected(as_role, ended, found):
    rows = [{"who": "newcomer", **ROW}, {"who": "newcomer", **ROW, "spend": None}]
    job = ended("engineer", "rows", rows=rows)
    assert (job["state"], job["result"]["rows"]) == ("done", 2), job
    assert {made["model"] for made in job["result"]["releases"]} >= {"churn", "spend", "visits"}
    assert "newcomer" not in str(job)
    again = ended("engineer", "rows", rows=rows)
    assert (again["result"]["rows"], again["result"]["releases"]) == (0, []) and again["result"]["added_before"]
    short = ended("engineer", "rows", rows=[{"who": "x"}])
    assert short["state"] == "failed" and "row 1 has no 'age'" in short["problem"]

    assert as_role("operator", "POST", "/v1/rows/rectify", json={"subject": "nobody", "rows": rows}).status_code == 422
    corrected = {"subject": "newcomer", "rows": [{"who": "newcomer", **ROW, "age": 42.5}]}
    job = ended("operator", "rows/rectify", **corrected)
    assert (job["state"], job["result"]["rows"]) == ("done", 1), job
    (held,) = as_role("operator", "POST", "/v1/people/show", json={"subject": "newcomer"}).json()["rows"]
    assert held["age"] == 42.5
    where = f"/v1/requests/{job['result']['request']}/receipt"
    assert as_role("operator", "POST", where, json={"subject": "newcomer"}).status_code == 200
    other = {"subject": "newcomer", "rows": [{"who": "person-3", **ROW}]}
    job = ended("operator", "rows/rectify", **other)
    assert job["state"] == "failed" and "somebody else" in job["problem"] and "person-3" not in job["problem"]


def test_a_job_that_waits_can_be_cancelled_and_others_wait_their_turn(as_role, desk, found):
    with found.storage.exclusive():  # somebody works by hand
        first = as_role("engineer", "POST", "/v1/models/spend/refit")
        assert wait_for(lambda: desk("auditor").job(first.json()["job"])["state"] == "running")
        second = as_role("auditor", "POST", "/v1/models/churn/audit", json={"draws": 200})
        assert second.json()["state"] == "queued"
        where = second.headers["Location"]
        assert as_role("operator", "POST", f"{where}/cancel").status_code == 403
        assert as_role("engineer", "POST", f"{first.headers['Location']}/cancel").status_code == 409
        assert as_role("auditor", "POST", f"{where}/cancel").status_code == 204
        assert as_role("auditor", "GET", where).json()["state"] == "cancelled"
    assert first.status_code == 202 and desk("auditor").wait(first.json(), every=0.05)["state"] == "done"


def test_roles(as_role):
    assert as_role("operator", "POST", "/v1/models/spend/refit").status_code == 403
    assert as_role("auditor", "POST", "/v1/models/spend/retire").status_code == 403
    assert as_role("engineer", "POST", "/v1/rows/rectify", json={"subject": "person-1", "rows": [ROW]}).status_code == 403
    assert as_role("operator", "POST", "/v1/rows", json={"rows": [ROW]}).status_code == 403
    assert as_role("consumer", "GET", "/v1/jobs").status_code == 403
    assert as_role("operator", "GET", "/v1/jobs").status_code == 200
    assert as_role("operator", "GET", "/v1/tokens").status_code == 403
    assert as_role("auditor", "GET", "/v1/jobs/999999").status_code == 404


def test_a_restart_fails_what_was_running_and_what_needed_rows_and_does_the_rest(tmp_path):
    made = workspace(tmp_path)
    with made.storage.database.writing() as connection:
        tokens.issue(connection, "Ann", "engineer")
        running = jobs.add(connection, JobKind.REFIT, "churn", "{}", "t", "i-gone")
        assert jobs.start(connection, running, "i-gone")
        rows = jobs.add(connection, JobKind.APPEND, None, "{}", "t", "i-gone")
        waits = jobs.add(connection, JobKind.REFIT, "spend", "{}", "t", "i-gone")
    runner = Jobs(made, Faults(), every=0.02)
    runner.start()
    try:
        assert wait_for(lambda: _job(made, waits).state == JobState.DONE, 60)
    finally:
        runner.stop()
    assert not runner.is_alive
    assert _job(made, running).state == JobState.FAILED and "the service ended" in _job(made, running).problem
    assert _job(made, rows).state == JobState.FAILED and "send them again" in _job(made, rows).problem
    assert problems(made) == {}


def test_two_instances_do_one_job_at_a_time_and_each_once(tmp_path, caplog):
    caplog.set_level(logging.INFO, "expunge.service.changes")
    made = workspace(tmp_path)
    runners = [Jobs(made, Faults(), every=0.02) for _ in range(2)]
    for runner in runners:
        runner.start()
    try:
        asked = [runners[n % 2].ask(JobKind.REFIT, "t", "spend", {}) for n in range(4)]
        assert wait_for(lambda: all(_job(made, job.id).state == JobState.DONE for job in asked), 120)
    finally:
        for runner in runners:
            runner.stop()
    done = [_job(made, job.id) for job in asked]
    spans = sorted((job.started, job.ended) for job in done)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert len({job.result for job in done}) == 4
    said = [record.record for record in caplog.records if record.name == "expunge.service.changes"]
    for job in asked:
        mine = [(about["event"], about["actor"]) for about in said if about.get("job") == job.id]
        assert mine == [("job.queued", "t"), ("job.started", "worker"), ("job.done", "worker")]
    with made.storage.database.reading() as connection:
        assert {found.id for found in jobs.all_instances(connection)} == {runner.instance.id for runner in runners}


def test_no_more_jobs_wait_than_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "QUEUED", 2)
    monkeypatch.setattr(module, "HELD", 1)
    made = workspace(tmp_path, models=False)
    runner = Jobs(made, Faults())
    runner.ask(JobKind.APPEND, "t", None, {}, {"rows": []})
    with pytest.raises(module.TooManyJobs, match="with rows"):
        runner.ask(JobKind.APPEND, "t", None, {}, {"rows": []})
    runner.ask(JobKind.REFIT, "t", "a", {})
    with pytest.raises(module.TooManyJobs, match="ask again"):
        runner.ask(JobKind.REFIT, "t", "a", {})


def test_a_failure_is_classified_shown_and_over_when_it_works_again(tmp_path):
    made = workspace(tmp_path)
    faults = Faults()
    runner = Jobs(made, faults, every=0.02)
    state = made.storage.state_path("churn", 1)
    content = state.read_bytes()
    state.write_bytes(b"damaged")
    runner.start()
    try:
        job = runner.ask(JobKind.AUDIT, "t", "churn", {"draws": 100})
        assert wait_for(lambda: _job(made, job.id).state == JobState.FAILED)
        assert _job(made, job.id).cause in ("environment", "model") and "churn" in _job(made, job.id).problem
        state.write_bytes(content)
        time.sleep(0.1)
        job = runner.ask(JobKind.AUDIT, "t", "churn", {"draws": 100})
        assert wait_for(lambda: _job(made, job.id).state == JobState.DONE, 60)
        assert [fault for fault in faults.now if "audit" in fault.part] == []
    finally:
        runner.stop()


def test_tokens_are_listed_and_revoked(as_role, found):
    with found.storage.database.writing() as connection:
        secret = tokens.issue(connection, "Somebody", "consumer")
    identity = secret.split("_")[1]
    listed = {row["token"]: row for row in as_role("auditor", "GET", "/v1/tokens").json()["items"]}
    assert (listed[identity]["name"], listed[identity]["role"], listed[identity]["revoked"]) == ("Somebody", "consumer", None)
    assert secret not in str(listed) and "digest" not in str(listed)
    assert as_role("auditor", "DELETE", f"/v1/tokens/{identity}").status_code == 403
    assert as_role("engineer", "POST", "/v1/tokens", json={"name": "x", "role": "operator"}).status_code == 405
    assert as_role("engineer", "DELETE", f"/v1/tokens/{identity}").status_code == 204
    assert as_role("engineer", "DELETE", f"/v1/tokens/{identity}").status_code == 404
    own = next(row["token"] for row in listed.values() if row["name"] == "Ann the engineer")
    assert as_role("engineer", "DELETE", f"/v1/tokens/{own}").status_code == 409
    with found.storage.database.reading() as connection:
        said = [event.content for event in log.entries(connection, 0, 10_000)]
    assert {"token": identity, "by": own}.items() <= next(c for c in said if c["kind"] == "token.revoked").items()


def test_the_doctor_looks_at_once_or_as_a_job(as_role, ended):
    now = as_role("auditor", "GET", "/v1/doctor").json()
    assert [finding for finding in now["findings"] if finding["problem"]] == []
    assert now["is_well"] and len(now["findings"]) > 5
    job = ended("engineer", "doctor", depth="minutes")
    assert job["state"] == "done" and len(job["result"]["findings"]) > len(now["findings"])
    assert [finding["problem"] for finding in job["result"]["findings"] if finding["problem"]] == []


def test_who_has_fetched_which_release_is_recorded(as_role, found):
    served = as_role("consumer", "GET", "/v1/models/visits/releases/latest")
    tag = {"If-None-Match": served.headers["ETag"]}
    assert as_role("consumer", "GET", "/v1/models/visits/releases/latest", headers=tag).status_code == 304
    exported = as_role("engineer", "GET", "/v1/models/visits/releases/latest/export?form=sql&table=people")
    assert exported.status_code == 200 and "SELECT" in exported.text
    assert 'filename="visits-' in exported.headers["Content-Disposition"]
    last = as_role("operator", "GET", "/v1/models/visits/releases").json()["items"][-1]
    assert last["certificate"] == served.json()["certificate"]
    assert [pull["name"] for pull in last["pulled"]] == ["Ann the consumer", "Ann the engineer"]
    assert as_role("auditor", "GET", "/v1/models/visits/releases/latest/export").status_code == 403


def _job(made, number):
    with made.storage.database.reading() as connection:
        return jobs.by_id(connection, number)


def test_a_forecast_that_could_not_be_made_is_made_later(tmp_path, monkeypatch):
    made = workspace(tmp_path)
    monkeypatch.setattr(forecasts, "PAUSE", 0.0)
    known = forecasts.Forecasts(made)
    (bucket, *_) = (made.storage.path / "table").glob("_bucket=*")
    bucket.rename(tmp_path / "away")
    known.refresh()
    assert known.of("churn", 1).report is None and "cannot be read" in known.of("churn", 1).problem
    (tmp_path / "away").rename(bucket)
    known.refresh()
    assert known.of("churn", 1).report.remaining > 0
