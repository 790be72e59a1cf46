"""A cluster gives this process's answers, also when a worker is killed in the middle of a pass."""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from distributed import LocalCluster

from expunge.data.sources import TableSource
from expunge.engine.dask import DaskEngine
from expunge.engine.local import LocalEngine
from expunge.errors import EngineUnavailable, InvalidRows, NotLearned
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.unlearning.dense import DenseState
from expunge.unlearning.learned import row_digests
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace import Workspace
from tests.data.test_sources import COLUMNS, rows, written
from tests.workspace.people import workspace

# sockets of a worker that was killed are closed by nobody
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def address(cluster):
    return cluster.scheduler_address.replace("tcp://", "dask://")


@pytest.fixture
def engine(address):
    engine = DaskEngine(address)
    yield engine
    engine.close()


@pytest.fixture
def source(tmp_path):
    written(tmp_path / "t", parts=10, n=10_000)
    return TableSource.open(str(tmp_path / "t"), COLUMNS)


def test_equals_the_local_engine(engine, source):
    objective = Objective(Logistic(), 3)
    there, here = DenseState.fitted(objective, source, engine), DenseState.fitted(objective, source, LocalEngine())
    np.testing.assert_allclose(there.point, here.point, rtol=1e-10)
    np.testing.assert_allclose(there.statistics.hessian_sum, here.statistics.hessian_sum, rtol=1e-10)
    assert there.statistics.count == here.statistics.count
    assert there.extremes.row_norm == here.extremes.row_norm
    assert there.extremes.whitened_norm == pytest.approx(here.extremes.whitened_norm, rel=1e-10)
    assert there.curvature_floor == pytest.approx(here.curvature_floor, rel=1e-9)


def slow_sums(rows):
    time.sleep(0.03)
    return os.getpid(), np.array([len(rows), rows.X.sum(dtype=np.float64), rows.y.sum()])


def added(a, b):
    return a[0], a[1] + b[1]


def pids_of(rows):
    return {os.getpid()}


def test_a_worker_killed_in_mid_pass_changes_no_digit(engine, source):
    _pid, undisturbed = engine.reduce(source, slow_sums, added)
    workers = engine.reduce(source, pids_of, set.union)
    assert len(workers) == 2 and os.getpid() not in workers
    victim = workers.pop()
    killer = threading.Timer(0.15, os.kill, (victim, signal.SIGKILL))
    killer.start()
    _pid, disturbed = engine.reduce(source, slow_sums, added)
    killer.join()
    assert victim not in engine.reduce(source, pids_of, set.union)
    np.testing.assert_array_equal(disturbed, undisturbed)


def test_a_fit_during_which_workers_die(engine, source):
    objective = Objective(Logistic(), 3)
    undisturbed = DenseState.fitted(objective, source, engine)
    stop = threading.Event()

    def kill_now_and_then():
        victims = set(engine._client.run(os.getpid).values())
        while not stop.wait(0.3) and len(victims) > 1:
            os.kill(victims.pop(), signal.SIGKILL)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    for _ in range(3):
        found = DenseState.fitted(objective, source, engine)
        np.testing.assert_allclose(found.point, undisturbed.point, rtol=1e-12)
    stop.set()
    killer.join()


def test_the_ladder_on_the_cluster(engine, source, tmp_path):
    whole = written(tmp_path / "u", parts=2, n=2000)
    settings = Settings(Guarantee(1.0, 1e-5), sigma=0.002)
    files = TableSource.open(str(tmp_path / "u"), COLUMNS)
    model = Unlearner.learn_from(Objective(Logistic(), 3), files, settings, engine=engine)
    remaining = TableSource.open(str(tmp_path / "u" / "part-1.parquet"), COLUMNS)
    release = model.forget(rows(whole.slice(0, 1000)), remaining)
    assert release.certificate.remaining == 1000
    assert model.true_distance(remaining) <= release.certificate.distance_bound


def test_rows_in_memory_are_summed_here(engine, tmp_path):
    whole = rows(written(tmp_path / "u", n=300))
    assert engine.reduce(whole, pids_of, set.union) == {os.getpid()}


def test_what_is_wrong_with_a_row_comes_back_from_the_worker(engine, source, tmp_path):
    (tmp_path / "t" / "part-4.parquet").unlink()
    with pytest.raises(InvalidRows, match=r"part-4.parquet is gone"):
        DenseState.fitted(Objective(Logistic(), 3), source, engine)


def test_no_cluster(monkeypatch, source):
    monkeypatch.setattr("expunge.engine.dask.PATIENCE", 0.3)
    with pytest.raises(EngineUnavailable, match=r"no Dask cluster with a worker answers at dask://127\.0\.0\.1:9"):
        DenseState.fitted(Objective(Logistic(), 3), source, DaskEngine("dask://127.0.0.1:9"))


def test_a_workspace_on_the_cluster(address, tmp_path):
    local = workspace(tmp_path)
    path = local.storage.configuration_path
    path.write_text(path.read_text().replace('engine = "local"', f'engine = "{address}"'))
    found = Workspace.open(local.storage.path)
    assert isinstance(found.storage.engine, DaskEngine)
    found.forget([f"person-{i}" for i in range(20)])
    assert found.process().closed == 20
    found.refit("churn")
    found.storage.engine.close()


def test_the_workers_make_the_digests_of_tracked_rows(engine, source):
    settings = Settings(Guarantee(1.0, 1e-6), 0.0, track_rows=True)
    there = Unlearner.learn_from(Objective(Logistic(), 3), source, settings, engine=engine)
    held = there._secret.learned
    here = [row_digests(batch, held.key, by_subject=False) for batch in source.batches()]
    np.testing.assert_array_equal(held.digests, np.sort(np.concatenate(here)))
    one = next(source.batches()).take([7])
    wrong = replace(one, X=one.X * 0.5)
    for act in (lambda: there.forget(wrong), lambda: there.forget(one, source)):
        with pytest.raises(NotLearned, match="is not among those learned"):
            act()
    assert there.forget(one).certificate.remaining == len(held.digests) - 1
