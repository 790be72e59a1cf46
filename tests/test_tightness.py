"""The benchmark of tightness: its own retraining against the tests' oracle, and its quick run from beginning to end."""

import json
import math
import re

import numpy as np
import pytest

from benchmarks import tightness
from benchmarks.capacity import GUARANTEE, Deletions
from benchmarks.tightness import LOST, Findings, Measured, counts_up_to, lost_at, measure, retrained
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.settings import Settings
from tests.oracle import retrain


def table(seed=0, n=2000, d=4):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return Rows.of(X, (X @ rng.normal(size=d) > 0.5 * rng.logistic(size=n)).astype(float))


def test_it_retrains_as_the_oracle_does():
    rows = table()
    found = retrain(Objective(Logistic(), 4), rows, np.zeros(5))
    assert found is not None
    assert np.abs(retrained(rows, np.zeros(5)) - found[0]).max() <= 1e-14


def test_every_bound_of_small_tables_holds_and_order_3_is_closer_to_a_smaller_truth():
    found, lost = measure(table(), (1, 10, 100), 2)
    assert len(found) == 2 * (3 * 2 + 3)
    findings = Findings("table", table(), found, lost)
    assert findings.violations == 0
    assert findings.n_bounds > 20
    for k, (true, bound, rate) in findings.medians("random", 3, "noise").items():
        before, above, _ = findings.medians("random", 2, "noise")[k]
        assert true < before and bound < above and true <= bound
        assert rate > 0
    assert len(lost) == len(LOST)


def test_the_factors_make_up_bound_over_truth():
    rows, rng = table(), np.random.default_rng(1)
    model, order = Deletions(rows, Settings(GUARANTEE)), rng.permutation(len(rows))
    exact = retrained(rows.take(order[100:]), model.state.point)
    factors = lost_at(model, order, 100, exact)
    measured = tightness.forgotten(model, order, 100, exact, "random")
    assert math.prod(factors) == pytest.approx(measured.bound["noise"] / measured.true["noise"])
    assert min(factors[:5]) >= 0.999  # each of these can only lose


def test_the_rate_is_k_p_over_n_squared_in_the_two_norm():
    rows = table()
    model, order = Deletions(rows, Settings(GUARANTEE, order=2)), np.arange(len(rows))
    exact = retrained(rows.take(order[10:]), model.state.point)
    assert tightness.forgotten(model, order, 10, exact, "random").rate["euclidean"] == 10 * 5 / 2000**2


def test_a_bound_below_the_truth_is_counted():
    one = {"noise": 1.0, "euclidean": 1.0}
    wrong = Measured("random", 1, 2, {"noise": 2.0, "euclidean": 1.0}, one, one)
    findings = Findings("table", table(), [wrong], [])
    assert findings.violations == 1
    assert findings.ratio(2, "random") == 0.5


def test_counts():
    assert list(counts_up_to(100)) == [1, 2, 5, 10, 20, 50, 100]


def test_the_quick_run_writes_a_page_a_figure_and_the_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.record.RESULTS", tmp_path / "results")
    with pytest.raises(SystemExit) as ended:
        tightness.main(["--quick", "--out", str(tmp_path / "out")])
    assert not ended.value.code
    page = (tmp_path / "out/index.md").read_text()
    assert (tmp_path / "out/census.svg").exists()
    assert re.search(r"\| at random \| 100 \| \d", page)
    assert "arxiv.org/abs/2512.12572" in page
    assert "census" in capsys.readouterr().out
    kept = json.loads((tmp_path / "results/tightness.json").read_text())["census"]["measured"]
    assert {line["count"] for line in kept} == {1, 10, 100}


def test_what_is_missing_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.record.RESULTS", tmp_path / "results")
    monkeypatch.setattr(tightness, "table_of", lambda name: None)
    with pytest.raises(SystemExit):
        tightness.main(["hospital", "--out", str(tmp_path / "out")])
    assert "hospital: its file is not in" in capsys.readouterr().out
