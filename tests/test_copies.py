"""Threads share one model and lose nothing; copies hold the same budget, and refuse to spend it."""

import copy
import os
import pickle
import threading

import joblib
import numpy as np
import pytest

from expunge.errors import ModelCopied, ModelCopyWarning
from expunge.linear_model import LogisticRegression
from expunge.problem.rows import Rows
from tests.test_unlearner import make, snapshot

THREADS, EACH = 8, 5


def at_once(work):
    """Runs ``work(i)`` in as many threads, all let go together; whatever one raises is raised here."""
    barrier, problems = threading.Barrier(THREADS), []

    def run(i):
        barrier.wait()
        try:
            work(i)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_threads_that_share_an_unlearner_lose_no_row():
    model, at, n = make(n=2000, sigma=0.5)

    def work(i):
        for j in range(EACH):
            model.forget(at(EACH * i + j))

    at_once(work)
    certificate = model.release.certificate
    assert certificate.remaining == n - THREADS * EACH
    assert (model.n_releases, certificate.requests) == (1 + THREADS * EACH, THREADS * EACH)
    assert model.true_distance(at(np.arange(THREADS * EACH, n))) <= certificate.distance_bound


def test_threads_that_share_an_estimator_publish_in_order():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 3))
    y = (3 * X[:, 0] + rng.logistic(size=20_000) > 0).astype(int)
    model = LogisticRegression(sigma=0.2).fit(X, y)

    def work(i):
        for j in range(EACH):
            k = EACH * i + j
            if i % 2:
                model.forget(X[k : k + 1], y[k : k + 1])
            else:
                model.rectify(X[k : k + 1], y[k : k + 1], X[k : k + 1], 1 - y[k : k + 1])
            assert np.isfinite(model.predict_proba(X[:5])).all()

    at_once(work)
    assert len(model.certificates_) == 1 + THREADS * EACH
    assert [c.requests for c in model.certificates_] == list(range(1 + THREADS * EACH))
    weights = model._unlearner.release.weights
    np.testing.assert_array_equal(np.r_[model.coef_[0], model.intercept_], weights)
    assert model.certificate_.remaining == 20_000 - THREADS * EACH // 2


def pickled(model, _tmp_path):
    return pickle.loads(pickle.dumps(model))


def dumped(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


COPIES = [pickled, dumped, lambda model, _tmp_path: copy.deepcopy(model), lambda model, _tmp_path: copy.copy(model)]


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "joblib", "deepcopy", "copy"])
def test_a_copy_warns_and_refuses_to_release_until_it_takes_over(copied, tmp_path):
    model, at, n = make(n=500)
    with pytest.warns(ModelCopyWarning, match="holds its secret state"):
        twin = copied(model, tmp_path)
    before = snapshot(twin._secret)
    everyone = at(np.arange(n))
    for release in (
        lambda: twin.forget(at(0)),
        lambda: twin.learn(at(0)),
        lambda: twin.rectify(at(0), at(1)),
        lambda: twin.refit(everyone),
    ):
        with pytest.raises(ModelCopied, match=r"call take_over\(\)"):
            release()
    assert snapshot(twin._secret) == before
    np.testing.assert_array_equal(twin.release.weights, model.release.weights)
    assert model.forget(at(0)).certificate.remaining == n - 1
    twin.take_over()
    assert twin.forget(at(0)).certificate.remaining == n - 1


def test_a_copied_estimator_predicts_and_refuses_to_release(tmp_path):
    X = np.random.default_rng(0).normal(size=(300, 2))
    y = (X[:, 0] > 0).astype(int)
    model = LogisticRegression(sigma=0.1).fit(X, y)
    with pytest.warns(ModelCopyWarning):
        twin = dumped(model, tmp_path)
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    with pytest.raises(ModelCopied):
        twin.forget(X[:1], y[:1])
    twin.take_over()
    assert twin.forget(X[:1], y[:1]).remaining == 299


def test_a_forked_child_refuses_to_release():
    model, at, _n = make(n=500)
    child = os.fork()
    if child == 0:
        try:
            model.forget(at(0))
            os._exit(0)
        except ModelCopied:
            os._exit(7)
        except BaseException:
            os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert model.forget(at(0)).certificate.remaining == 499


def test_what_only_reads_needs_no_right_to_release():
    model, at, n = make(n=500)
    with pytest.warns(ModelCopyWarning):
        twin = copy.deepcopy(model)
    assert twin.draw(2).shape == (2, 6)
    assert twin.influence(at([0, 1])).shape == (2,)
    assert twin.capacity(Rows.of(at(np.arange(n)).X, at(np.arange(n)).y)).remaining == n
