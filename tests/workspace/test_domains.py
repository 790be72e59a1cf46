"""One model that cannot forget does not stop the others; and ways out of it: a refit that is due, replace, retire."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from expunge.errors import CapacityExceeded, EngineUnavailable, RequestRefused, WorkspaceInvalid
from expunge.evidence.events import EventKind
from expunge.ledger import log, releases, requests, times
from expunge.ledger.tables import releases as release_table
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace import Workspace, states
from expunge.workspace.specification import Specification
from expunge.workspace.status import status
from tests.field.commands import run
from tests.forks import once
from tests.workspace.people import CLASSES, SCHEMA, copied, people, workspace
from tests.workspace.test_workspace import problems, true_distances


@pytest.fixture
def exhausted(tmp_path):
    """A workspace with a model "big" whose rounding alone eats its budget in five releases, and asked once more."""
    found = copied(once("exhausted", exhaust), tmp_path)
    asked, done = pickle.loads((tmp_path / "asked").read_bytes())
    vars(found).update(asked=asked, done=done)
    return found


def exhaust(folder):
    table = people()
    large = pa.array(np.random.default_rng(1).normal(size=len(table)) * 1e6)
    found = workspace(folder, models=("churn",), table=table.append_column("big", large))
    found.fit("big", "big", model="ridge", sigma=6e-4)
    for i in range(5):
        found.forget([f"person-{i}"])
        assert found.process().closed == 1
    asked = found.forget(["person-5"])[0].request
    (folder / "asked").write_bytes(pickle.dumps((asked, found.process())))
    found.storage.database.close()


def rows_of(found: Workspace, who: str) -> int:
    return sum(found.storage.table.counts([found.storage.subject_key.pseudonym(who)]).values())


def test_the_others_go_on_and_the_rows_stay(exhausted, tmp_path):
    done = exhausted.done
    assert done.closed == 0 and list(done.aside) == ["big"] and "cannot be certified" in done.aside["big"]
    assert {outcome.model for outcome in done.outcomes} == {"churn"}
    assert rows_of(exhausted, "person-5") > 0  # big still needs them to forget them
    assert list(problems(exhausted)) == ["every model can forget"]
    truth, certified = true_distance(exhausted, "churn", ["person-5"])
    assert truth <= certified
    (shown,) = [row for row in status(exhausted.storage).models if row.aside]
    assert shown.name == "big"

    exhausted.forget(["person-6"])  # life goes on for the others
    again = exhausted.process()
    assert {outcome.model for outcome in again.outcomes} == {"churn"} and again.closed == 0
    assert exhausted.process().outcomes == []  # and nothing is tried for ever
    exhausted.refit("churn")
    truth, certified = true_distance(exhausted, "churn", ["person-5", "person-6"])
    assert truth <= certified
    assert list(problems(exhausted)) == ["every model can forget"]
    with pytest.raises(RequestRefused, match="already worked by some"):
        exhausted.cancel(exhausted.asked)
    new = people(5, 5, seed=1)
    new = new.set_column(0, "who", pa.array([f"new-{i}" for i in range(5)])).append_column("big", pa.array([1.0] * 5))
    pq.write_table(new, tmp_path / "new.parquet")
    with pytest.raises(WorkspaceInvalid, match=r"'big' is set aside.*expunge replace big or expunge retire big"):
        exhausted.append(str(tmp_path / "new.parquet"))
    with pytest.raises(CapacityExceeded):
        exhausted.refit("big")
    fitted = exhausted.fit("visits", "visits", model="poisson", penalty=0.01, sigma=0.05)
    assert fitted.release.certificate.remaining == exhausted.storage.table.count() - sum(
        rows_of(exhausted, who) for who in ("person-5", "person-6")
    )
    assert list(problems(exhausted)) == ["every model can forget"]


def true_distance(found: Workspace, name: str, without: list[str]) -> tuple[float, float]:
    tags = [found.storage.subject_key.pseudonym(who) for who in without]
    with found.storage.database.reading() as connection:
        specification = Specification.from_json(releases.named(connection, name).specification)
        unlearner = states.load(found.storage, connection, name)
    rows = specification.source(found.storage.table, tags).in_one_block()
    return unlearner.true_distance(rows), unlearner.release.certificate.distance_bound


def test_a_model_whose_refits_could_never_be_afforded_is_not_fitted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = people()
    large = pa.array(np.random.default_rng(1).normal(size=len(table)) * 1e6)
    found = workspace(tmp_path, models=False, table=table.append_column("big", large))
    for command in (("fit", "big", "--target", "big", "--model", "ridge"), ("replace", "other")):
        if command[0] == "replace":
            run("fit", "other", "--target", "big", "--model", "ridge", "--sigma", "6", "-w", "ws")
        refused = run(*command, "--sigma", "1e-6", "-w", "ws", code=1)["message"]
        assert "no refit would be affordable (proven distance" in refused and "raise sigma. Nothing was changed" in refused
    assert [(model["name"], model["release"]) for model in run("status", "-w", "ws")["models"]] == [("other", 1)]
    run("forget", "person-1", "-w", "ws")
    assert run("process", "--now", "-w", "ws")["closed"] == 1 and problems(found) == {}


def test_retiring_it_closes_what_waited_for_it(exhausted):
    assert exhausted.retire("big") == 1
    assert rows_of(exhausted, "person-5") == 0
    storage = exhausted.storage
    assert not list((storage.models / "big").glob("*"))
    with storage.database.reading() as connection:
        assert requests.by_id(connection, exhausted.asked).state == "closed"
        kept = connection.execute(sa.select(release_table.c.weights).where(release_table.c.model == "big")).scalars()
        assert set(kept) == {None}
        assert [event.text("model") for event in log.of_kind(connection, EventKind.MODEL_RETIRED)] == ["big"]
    with pytest.raises(WorkspaceInvalid, match="was retired on"):
        exhausted.refit("big")
    with pytest.raises(WorkspaceInvalid, match="exists or existed"):
        exhausted.fit("big", "big", model="ridge", sigma=1.0)
    assert problems(exhausted) == {}
    exhausted.forget(["person-7"])
    assert exhausted.process().closed == 1
    assert problems(exhausted) == {}


def test_replacing_it_closes_what_waited_for_it(exhausted):
    outcome = exhausted.replace("big", sigma=0.5)
    assert outcome.number == 7 and outcome.release.certificate.sigma == 0.5
    assert rows_of(exhausted, "person-5") == 0
    for name, (truth, certified) in true_distances(exhausted).items():
        assert truth <= certified, name
    with exhausted.storage.database.reading() as connection:
        older = sa.select(release_table.c.weights).where(release_table.c.model == "big", release_table.c.number < 7)
        assert set(connection.execute(older).scalars()) == {None}
    assert problems(exhausted) == {}
    exhausted.forget(["person-7"])
    done = exhausted.process()
    assert (done.closed, done.aside) == (1, {})
    assert problems(exhausted) == {}


def test_it_comes_back_once_it_can_be_certified(tmp_path):
    found = workspace(tmp_path)
    path = found.storage.state_path("churn", 1)
    state = path.read_bytes()
    path.unlink()
    found.forget(["person-1"])
    done = found.process()
    assert (done.closed, list(done.aside)) == (0, ["churn"]) and "is missing" in done.aside["churn"]
    assert done.unreadable == ("churn",)
    assert found.process(is_due=True).outcomes == []  # not while the file is as it was
    path.write_bytes(state)
    done = found.process(is_due=True)  # although a day has not passed
    assert done.unreadable == ()
    assert (done.closed, done.aside, [outcome.model for outcome in done.outcomes]) == (1, {}, ["churn"])
    assert problems(found) == {}


def test_one_person_that_a_model_cannot_forget_is_forgotten_by_the_others(tmp_path):
    table = people(80, 80).set_column(4, "churn", pa.array(["yes", "yes", "yes"] + ["no"] * 77))
    found = workspace(tmp_path, models=("churn",), table=table, schema=SCHEMA + CLASSES)
    found.fit("visits", "visits", model="poisson", penalty=0.01, sigma=0.05)
    asked = [answer.request for answer in found.forget(["person-0", "person-1", "person-2", "person-7"])]
    done = found.process()  # of the three who are the whole class, two can be forgotten
    assert done.closed == 3 and done.aside == {}
    (stuck,) = done.problems
    assert stuck in asked[:3] and done.problems[stuck].startswith("churn: ")
    with found.storage.database.reading() as connection:
        assert list(requests.batches_of(connection, stuck)) == ["visits"]
    left = [f"person-{i}" for i in range(3) if rows_of(found, f"person-{i}")]
    assert len(left) == 1
    truth, certified = true_distance(found, "visits", left)
    assert truth <= certified
    assert problems(found) == {}
    assert found.process(is_due=True).outcomes == []  # not before an hour has passed
    found.process()
    with found.storage.database.reading() as connection:
        assert len(log.of_kind(connection, EventKind.REQUEST_STUCK)) == 1  # said once
        row = requests.by_id(connection, stuck)
    assert (row.attempts, row.again > times.exact()) == (2, True)
    found.retire("churn")
    assert rows_of(found, left[0]) == 0
    assert problems(found) == {}


@pytest.mark.parametrize("error", [EngineUnavailable("lost"), WorkspaceInvalid("gone"), MemoryError(), RuntimeError()])
def test_a_batch_is_halved_only_for_faults_of_a_row(error, tmp_path, monkeypatch):
    found, calls = workspace(tmp_path), []

    def failing(*_arguments, **_more):
        calls.append(1)
        raise error

    asked = [answer.request for answer in found.forget([f"person-{i}" for i in range(4)])]
    with monkeypatch.context() as patched:
        patched.setattr(Unlearner, "forget", failing)
        with pytest.raises(type(error)):
            found.process()
    assert len(calls) == 1  # not once for each half
    with found.storage.database.reading() as connection:
        rows = [requests.by_id(connection, request) for request in asked]
    assert {(row.state, row.attempts, row.again) for row in rows} == {("accepted", 0, None)}  # nobody is to blame
    assert found.process().closed == 4


def test_a_workspace_without_models_just_erases(tmp_path):
    found = workspace(tmp_path, models=False)
    found.forget(["person-1"])
    assert found.process().closed == 1
    assert found.storage.subject_key.pseudonym("person-1") not in found.storage.table.subjects().to_pylist()
