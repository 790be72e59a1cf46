"""A workspace through its life: rows in, models fitted, people forgotten, corrected, added; evidence for all of it."""

import json
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from deltalake import write_deltalake
from typer.testing import CliRunner

from expunge import files
from expunge.cli import app
from expunge.data.own_columns import ROW, SUBJECT
from expunge.errors import InvalidRows, RequestRefused, StateCorrupt, WorkspaceBusy, WorkspaceInvalid
from expunge.evidence.receipts import verify_receipt
from expunge.files import PARTIAL
from expunge.ledger import data_files, releases, requests
from expunge.ledger.tables import requests as request_table
from expunge.unlearning.dense import require_hessian
from expunge.unlearning.unlearner import secret_of
from expunge.workspace import Workspace, desk, states
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.batch import Outcome
from expunge.workspace.doctor import examine
from expunge.workspace.schedules import RefitCause
from expunge.workspace.specification import Specification
from expunge.workspace.status import status
from tests.test_files import killed_while_it_writes
from tests.workspace.people import CLASSES, SCHEMA, people, workspace


def problems(found: Workspace) -> dict[str, str]:
    return {finding.check: finding.problem for finding in examine(found.storage) if finding.problem}


def true_distances(found: Workspace) -> dict[str, tuple[float, float]]:
    """By model: the distance to the model retrained on the table as it is now, and what is certified."""
    distances = {}
    with found.storage.database.reading() as connection:
        for row in releases.all_models(connection):
            specification = Specification.from_json(row.specification)
            unlearner = states.load(found.storage, connection, row.name)
            truth = unlearner.true_distance(specification.source(found.storage.table).in_one_block())
            distances[row.name] = truth, unlearner.release.certificate.distance_bound
    return distances


def warnings_of(found: Workspace) -> str:
    return " ".join(finding.warning for finding in examine(found.storage) if finding.warning)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    return None if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()


def test_a_life(tmp_path, database):
    found = workspace(tmp_path, database=database)
    assert problems(found) == {}
    answers = found.forget(["person-1", "person-2", "nobody", "person-1", " person-3 "])
    assert [answer.state for answer in answers] == ["accepted", "accepted", "refused", "accepted", "accepted"]
    assert answers[3].request == answers[0].request
    assert answers[2].reason == "unknown-subject"
    held = sum(who in ("person-1", "person-2", "person-3") for who in people()["who"].to_pylist())
    assert sum(answers[i].rows for i in (0, 1, 4)) == held
    done = found.process()
    assert (done.closed, done.problems) == (3, {})
    assert {outcome.model for outcome in done.outcomes} == {"churn", "spend", "visits"}
    assert all(outcome.number == 2 for outcome in done.outcomes)
    assert found.storage.table.count() == 400 - held
    for name, (truth, certified) in true_distances(found).items():
        assert truth <= certified, name
    assert problems(found) == {}
    again = found.forget(["person-1", "person-9"])
    assert (again[0].state, again[0].reason) == ("refused", "already-forgotten")
    assert answers[0].request in again[0].message
    found.process()
    assert problems(found) == {}

    new = people(30, 30, seed=5)
    renamed = new.set_column(0, "who", pa.array([f"new-{i}" for i in range(30)]))
    pq.write_table(renamed, tmp_path / "new.parquet")
    added = found.append(str(tmp_path / "new.parquet"))
    assert added.rows == 30 and {outcome.model for outcome in added.outcomes} == {"churn", "spend", "visits"}
    for name, (truth, certified) in true_distances(found).items():
        assert truth <= certified, name

    pq.write_table(renamed.slice(3, 1).set_column(1, "age", pa.array([99.0])), tmp_path / "right.parquet")
    answer, outcomes = found.rectify("new-3", str(tmp_path / "right.parquet"))
    assert answer.rows == 1 and len(outcomes) >= 2
    assert found.storage.table.of_subjects([found.storage.subject_key.pseudonym("new-3")])["age"].to_pylist() == [99.0]
    for name, (truth, certified) in true_distances(found).items():
        assert truth <= certified, name
    assert problems(found) == {}

    shown = status(found.storage)
    assert shown.requests[requests.RequestState.CLOSED] == 5
    assert {derived.what for derived in shown.still_derived} == {f"the anchor of {m}" for m in ("churn", "spend", "visits")}
    for name in ("churn", "spend", "visits"):
        assert found.refit(name).release.certificate.rung == "refit"
    assert status(found.storage).still_derived == ()
    assert problems(found) == {}
    assert "rows at random" in str(found.capacity("churn"))


def test_the_files_of_the_table_are_listed_once_until_the_ledger_is_another(tmp_path, monkeypatch):
    found, listed, present = workspace(tmp_path, models=False), list[None](), data_files.present

    def counted(connection):
        listed.append(None)
        return present(connection)

    monkeypatch.setattr(data_files, "present", counted)
    assert [found.storage.table.count() for _ in range(3)] == [400] * 3 and len(listed) == 1
    other = Workspace.open(found.storage.path)
    other.forget(["person-1"])
    other.process()
    listed.clear()
    held = people()["who"].to_pylist().count("person-1")
    assert [found.storage.table.count() for _ in range(3)] == [400 - held] * 3 and len(listed) == 1


def test_a_person_with_many_rows_is_one_request(tmp_path):
    table = people(60, 20)
    found = workspace(tmp_path, models=False, table=table)
    found.fit("visits", "visits", model="ridge", sigma=0.05)
    (answer,) = found.forget(["person-0"])
    held = table["who"].to_pylist().count("person-0")
    assert answer.rows == held > 1
    (outcome,) = found.process().outcomes
    assert outcome.release.certificate.n_forgotten == held


def test_rows_without_the_target_are_not_learned_and_not_forgotten(tmp_path):
    table = people(60, 60).set_column(6, "spend", pa.array([None, None, *map(float, range(58))]))
    found = workspace(tmp_path, models=False, table=table)
    found.fit("spend", "spend", model="ridge", sigma=0.05)
    found.forget(["person-0"])
    done = found.process()
    assert done.closed == 1
    (outcome,) = done.outcomes  # the model never learned the row; the table had it, and the log shows no difference
    assert (outcome.number, outcome.release.certificate.n_forgotten, outcome.release.certificate.remaining) == (2, 0, 58)
    assert found.storage.table.count() == 59
    assert problems(found) == {}


def test_a_model_that_learned_none_of_the_rows_pays_for_its_release(tmp_path):
    table = people(60, 60)
    churn = [None, *table["churn"].to_pylist()[1:]]
    found = workspace(tmp_path, models=("churn",), table=table.set_column(4, "churn", pa.array(churn)))
    first, second = list[Outcome](), list[Outcome]()
    for subject, made in (("person-1", first), ("person-0", second)):
        found.forget([subject])
        made += found.process().outcomes
    (before,), (after,) = [o.release for o in first], [o.release for o in second]
    assert (before.certificate.n_forgotten, after.certificate.n_forgotten) == (1, 0)
    assert after.certificate.mu_total > before.certificate.mu_total > 0 and np.all(before.weights != after.weights)
    assert problems(found) == {}


def test_influence_is_what_forgetting_does(tmp_path):
    found = workspace(tmp_path)
    preview = found.preview([ForgetRequest("person-4", "Ann"), ForgetRequest("person-5", "Ann")])
    with found.storage.database.reading() as connection:
        before = states.load(found.storage, connection, "spend")._secret.point
    found.forget(["person-4"])
    found.process()
    with found.storage.database.reading() as connection:
        after = states.load(found.storage, connection, "spend")._secret.point
    moved = np.linalg.norm(after - before) / 0.05
    assert moved <= preview.influence["spend"][0] * 1.1
    assert moved > 0


class TestAnswers:
    def test_a_key_names_one_request(self, tmp_path):
        found = workspace(tmp_path, models=False)
        (first,) = found.forget(["person-1"], keys={"person-1": "k"})
        (again,) = found.forget(["person-1"], keys={"person-1": "k"})
        assert again.request == first.request and again.receipt == first.receipt
        (other,) = found.forget(["person-2"], keys={"person-2": "k"})
        assert other.reason == "key-reused"
        found.process()
        (closed,) = found.forget(["person-1"], keys={"person-1": "k"})
        assert (closed.request, closed.state, closed.receipt) == (first.request, "accepted", first.receipt)

    def test_a_key_names_one_request_among_those_asked_together_too(self, tmp_path):
        found = workspace(tmp_path, models=False)
        wishes = [ForgetRequest(subject, "ann", "k") for subject in ("person-1", "person-1", "person-2")]
        first, again, other = desk.ask(found.storage, wishes)
        assert again.request == first.request
        assert other.reason == "key-reused"
        assert desk.ask(found.storage, [ForgetRequest("nobody", "ann", "n")] * 2)[1].reason == "unknown-subject"

    def test_there_is_a_limit_a_day(self, tmp_path):
        found = workspace(tmp_path, models=False)
        settings = found.storage.configuration_path
        settings.write_text(settings.read_text().replace("100000", "3"))
        found = Workspace.open(found.storage.path)
        answers = found.forget([f"person-{i}" for i in range(5)], actor="a")
        assert [answer.reason for answer in answers] == [None, None, None, "limit", "limit"]
        assert found.forget(["person-9"], actor="b")[0].state == "accepted"

    def test_a_refusal_is_in_the_log(self, tmp_path):
        found = workspace(tmp_path, models=False)
        (answer,) = found.forget(["nobody"])
        with found.storage.database.reading() as connection:
            row = connection.execute(sa.text("SELECT entry FROM events WHERE kind = 'request.refused'")).scalar_one()
        assert json.loads(row)["request"] == answer.request
        assert "nobody" not in row

    def test_a_receipt_proves_the_request_to_whoever_knows_the_subject(self, tmp_path):
        found = workspace(tmp_path, models=False)
        (answer,) = found.forget(["person-1"])
        with found.storage.database.reading() as connection:
            keys = found.storage.public_keys(connection)
            kept = requests.by_id(connection, answer.request).commitment
            assert kept in connection.execute(sa.text("SELECT entry FROM events WHERE kind = 'request.accepted'")).scalar_one()
        content = json.loads(answer.receipt)
        said = verify_receipt(content, keys, "person-1")
        assert (said["request"], said["commitment"]) == (answer.request, kept)
        assert "person-1" not in answer.receipt
        with pytest.raises(Exception, match="not for this subject"):
            verify_receipt(content, keys, "person-2")

    def test_cancelling(self, tmp_path):
        found = workspace(tmp_path, models=False)
        (answer,) = found.forget(["person-1"])
        found.cancel(answer.request)
        assert found.process().closed == 0
        with pytest.raises(RequestRefused, match="cancelled"):
            found.cancel(answer.request)
        with pytest.raises(RequestRefused, match="no request"):
            found.cancel("r-0")
        assert found.forget(["person-1"])[0].request != answer.request


def test_a_request_that_cannot_be_worked_is_set_apart(tmp_path):
    table = people(80, 80).set_column(4, "churn", pa.array(["yes"] + ["no"] * 79))
    found = workspace(tmp_path, models=("churn",), table=table, schema=SCHEMA + CLASSES)
    asked = found.forget(["person-3", "person-0", "person-7", "person-9"])
    done = found.process()
    assert done.closed == 3
    assert list(done.problems) == [asked[1].request]
    assert "churn" in done.problems[asked[1].request] or "class" in done.problems[asked[1].request]
    (shown,) = status(found.storage).open
    assert shown.problem is not None and shown.request == asked[1].request
    assert problems(found) == {}
    assert found.process().closed == 0  # still not, and nothing is lost


def test_a_batch_that_forces_a_refit_says_so_first(tmp_path):
    found = workspace(tmp_path, models=False)
    found.fit("churn", "churn", delta=1e-5, sigma=1e-7)
    found.forget([f"person-{i}" for i in range(150)])
    said: list[str] = []
    done = found.process(said.append)
    (model,) = status(found.storage).models
    assert (model.last_refit.cause, model.last_refit.resets_budget) == (RefitCause.FORCED, False)
    refitted = {outcome.model for outcome in done.outcomes if outcome.release.certificate.rung == "refit"}
    assert refitted and {message.partition(":")[0] for message in said} == refitted
    assert all("takes a new fit" in message for message in said)


def test_a_model_has_the_order_that_is_asked_for(tmp_path):
    found = workspace(tmp_path, models=False)
    for name, order in (("two", "2"), ("three", "auto")):
        command = ["fit", name, "--target", "churn", "--delta", "1e-5", "--order", order, "-w", str(found.storage.path)]
        assert CliRunner().invoke(app, command).exit_code == 0
    found = Workspace.open(found.storage.path)
    orders = [require_hessian(secret_of(states.state_of(found.storage, name)).state).order for name in ("two", "three")]
    assert orders == [2, 3]
    refused = CliRunner().invoke(app, ["fit", "four", "--target", "churn", "--order", "4", "-w", str(found.storage.path)])
    assert refused.exit_code != 0
    assert "order must be 2, 3 or 'auto', got 4" in refused.output
    assert found.replace("two").release.certificate.rung == "refit"
    assert require_hessian(secret_of(states.state_of(found.storage, "two")).state).order == 2


def test_those_forgotten_do_not_come_back_by_accident(tmp_path):
    found = workspace(tmp_path)
    found.forget(["person-1"])
    found.process()
    assert found.append(str(tmp_path / "people.parquet")).rows == 0  # known as the rows that were there at first
    pq.write_table(people().slice(0, 399), tmp_path / "nightly.parquet")
    with pytest.raises(InvalidRows, match="row 2 belongs to somebody who was forgotten"):
        found.append(str(tmp_path / "nightly.parquet"))
    back = people().filter(pa.compute.equal(people()["who"], "person-1"))
    pq.write_table(back, tmp_path / "back.parquet")
    found.append(str(tmp_path / "back.parquet"), returning=True)
    assert problems(found) == {}
    assert found.forget(["person-1"])[0].state == "accepted"
    found.process()
    assert problems(found) == {}


def test_a_row_put_into_the_table_from_outside_poisons_nothing(tmp_path):
    found = workspace(tmp_path)
    table = found.storage.table
    row = next(table.row_groups([SUBJECT])[0].tables([SUBJECT]))
    intruder = table.of_subjects(row[SUBJECT].to_pylist()[:1]).slice(0, 1)
    intruder = intruder.set_column(intruder.schema.get_field_index(ROW), ROW, pa.array([10**6]))
    write_deltalake(table.path, intruder, mode="append")
    found.forget(["person-1"])
    with pytest.raises(WorkspaceInvalid, match="changed from outside"):
        found.process()
    assert "the table is the one the ledger knows" in problems(found)


def test_a_state_that_is_not_the_ledgers_is_refused(tmp_path):
    found = workspace(tmp_path)
    found.forget(["person-1"])
    path = found.storage.state_path("churn", 1)
    old = path.read_bytes()
    path.write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
    done = found.process()
    assert "not the file that the ledger names" in done.aside["churn"]
    assert (done.closed, {outcome.model for outcome in done.outcomes}) == (0, {"spend", "visits"})
    path.unlink()
    with pytest.raises(StateCorrupt, match="is missing"), found.storage.database.reading() as connection:
        states.load(found.storage, connection, "churn")
    path.write_bytes(old)
    assert found.process().closed == 1
    assert problems(found) == {}


def test_two_at_once_the_other_waits_or_says_so(tmp_path):
    found = workspace(tmp_path)
    with found.storage.exclusive(), pytest.raises(WorkspaceBusy, match="another process is working"):
        found.process(patience=0.1)
    assert found.process().closed == 0


def test_requests_are_accepted_while_a_batch_is_worked(tmp_path):
    found = workspace(tmp_path)
    with found.storage.exclusive():
        assert found.forget(["person-1"])[0].state == "accepted"


def test_what_a_killed_command_left_in_the_middle_of_a_write_is_told_and_goes_with_the_next(tmp_path):
    found = workspace(tmp_path, models=False)
    for path in (found.storage.witness_path, found.storage.subject_key_path):
        killed_while_it_writes(path)
    left = list(found.storage.path.rglob(f"{PARTIAL}*"))
    handle, in_use = files._begun(found.storage.path)
    assert len(left) == 2 and problems(found) == {} and any(path.name in warnings_of(found) for path in left)
    found.process()
    assert problems(found) == {} and "killed" not in warnings_of(found)  # nor of what somebody is writing now
    assert list(found.storage.path.rglob(f"{PARTIAL}*")) == [Path(in_use)]
    os.close(handle)
    (found.storage.table.path / f"{PARTIAL}ab12cd34").touch()
    assert f"{PARTIAL}ab12cd34 does not belong" in problems(found)["there are no stray files"]  # nobody writes so there


def test_the_clock_may_go_back(tmp_path, monkeypatch):
    found = workspace(tmp_path)

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2020, 1, 1, tzinfo=tz)

    monkeypatch.setattr("expunge.ledger.times.datetime", Earlier)
    found.forget(["person-1"])
    found.process()
    assert problems(found) == {}


def test_the_log_names_what_happened(tmp_path):
    found = workspace(tmp_path)
    found.forget(["person-1"])
    found.process()
    with found.storage.database.reading() as connection:
        kinds = list(connection.execute(sa.text("SELECT kind FROM events ORDER BY seq")).scalars())
    assert kinds[0] == "workspace.created"
    assert kinds[-6:] == ["batch.begun", "batch.certified", *["release.certified"] * 3, "batch.closed"]


def test_the_pseudonym_goes_when_a_request_is_closed(tmp_path):
    found = workspace(tmp_path)
    found.forget(["person-1", "person-2"])
    found.process()
    with found.storage.database.reading() as connection:
        assert set(connection.execute(sa.select(request_table.c.subject)).scalars()) == {None}


class TestMaking:
    def test_a_subject_column_with_nulls(self, tmp_path):
        rows = people(100, 50)
        who = rows["who"].to_pylist()
        who[77] = None
        pq.write_table(rows.set_column(0, "who", pa.array(who)), tmp_path / "p.parquet")
        with pytest.raises(InvalidRows, match="row 78 has no subject"):
            Workspace.create(tmp_path / "ws", str(tmp_path / "p.parquet"), "who")
        assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]

    def test_a_database_that_is_another_workspaces(self, tmp_path, postgresql):
        url = postgresql.new_database()
        workspace(tmp_path, models=False, database=url)
        with pytest.raises(WorkspaceInvalid, match="ledger of another workspace"):
            Workspace.create(tmp_path / "other", str(tmp_path / "people.parquet"), "who", database=url)
        assert not (tmp_path / "other").exists()

    def test_a_schema_with_a_column_that_is_not_there(self, tmp_path):
        pq.write_table(people(), tmp_path / "p.parquet")
        (tmp_path / "s.toml").write_text("[columns.shoe]\nkind = 'number'\nlow = 1\nhigh = 60\n")
        with pytest.raises(InvalidRows, match="'shoe', which the data does not have"):
            Workspace.create(tmp_path / "ws", str(tmp_path / "p.parquet"), "who", schema=tmp_path / "s.toml")

    def test_no_rows(self, tmp_path):
        pq.write_table(people().slice(0, 0), tmp_path / "p.parquet")
        with pytest.raises(InvalidRows, match="there are no rows"):
            Workspace.create(tmp_path / "ws", str(tmp_path / "p.parquet"), "who")


class TestAppending:
    def test_a_label_that_is_no_class(self, tmp_path):
        found = workspace(tmp_path)
        new = people(2, 2, seed=3).set_column(4, "churn", pa.array(["yes", "perhaps"]))
        pq.write_table(new.set_column(0, "who", pa.array(["a", "b"])), tmp_path / "new.parquet")
        with pytest.raises(InvalidRows, match="row 2 has a churn that is not a class of the model"):
            found.append(str(tmp_path / "new.parquet"))
        assert found.storage.table.count() == 400
        assert problems(found) == {}

    def test_no_rows(self, tmp_path):
        found = workspace(tmp_path, models=False)
        pq.write_table(people().slice(0, 0), tmp_path / "new.parquet")
        with pytest.raises(InvalidRows, match="holds no rows"):
            found.append(str(tmp_path / "new.parquet"))
