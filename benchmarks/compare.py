"""What does each way of forgetting cost, and what does it give? Baselines and scikit-learn beside Expunge, in one run.

Logistic regression, C = 1, the intercept a penalised column (so that every method can claim what it claims), noise that
costs at most 0.001 in log-loss for every method that adds any: what is then certified can be compared. Run: make bench
"""

import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import expit
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from benchmarks.baselines import (
    Baseline,
    CertifiedRemoval,
    DescentToDelete,
    InfluenceFunction,
    OutputPerturbation,
    ProjectiveResidualUpdate,
    RetrainCold,
    RetrainWarm,
    Sisa,
    StoredVectors,
)
from benchmarks.clock import now
from benchmarks.record import SHARED, record
from expunge.audit import rehearsal
from expunge.engine.local import LocalEngine
from expunge.errors import CapacityExceeded
from expunge.linear_model import LogisticRegression
from expunge.numerics.evaluation import Evaluation
from expunge.paper.reproduce.studies import STUDIES, Study, load_study
from expunge.privacy import Guarantee
from expunge.privacy.guarantee import epsilon_of, sigma_from_excess_risk
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState
from expunge.unlearning.settings import Settings
from expunge.unlearning.storage import save_unlearner
from expunge.unlearning.unlearner import Unlearner, secret_of

Array = NDArray[np.float64]
GUARANTEE = Guarantee(1.0, 1e-5)
BATCHES = (1, 10, 100)
LOSS = Logistic()


@dataclass
class Line:
    """One method on one data set; times in seconds, ``None`` where it does not apply."""

    name: str
    fit: float
    forget: list[float]
    needs_data: str
    bytes_kept: int
    distance: float
    epsilon: float
    capacity: str
    log_loss: float


def seconds(action: Callable[[], Any]) -> float:
    """How long ``action`` takes."""
    started = now()
    action()
    return now() - started


class Comparison:
    """One data set, all methods: fit, forget 1, 10 and 100 rows (each from the fitted model), and look."""

    def __init__(self, study: Study) -> None:
        self.name = study.name
        X, X_test = (np.hstack([part, np.ones((len(part), 1))]) for part in (study.X, study.X_test))
        self.rows, self.X_test, self.y_test = Rows.of(X, study.y), X_test, study.y_test
        self.objective = Objective(LOSS, X.shape[1], 1.0, fit_intercept=False)
        self.order = np.random.default_rng(0).permutation(len(X))
        self.sigma = sigma_from_excess_risk(0.001, LOSS.curvature_trace_bound, 2.0**0.5)
        self.gone, self.stay = self.order[: BATCHES[-1]], np.sort(self.order[BATCHES[-1] :])
        self.whole = DenseState.fitted(self.objective, self.rows, LocalEngine())
        self.truth = DenseState.fitted(self.objective, self.rows.take(self.stay), LocalEngine(), self.whole.anchor).point

    def log_loss(self, w: Array) -> float:
        """Mean held-out log-loss, in nats."""
        return float(LOSS.value(self.X_test @ w, self.y_test).mean())

    def line(
        self, name: str, fit: float, forget: list[float], data: str, kept: int, w: Array, epsilon: float, capacity: str
    ) -> Line:
        """A line of the table, ``w`` the un-noised weights after 100 deletions."""
        return Line(name, fit, forget, data, kept, float(np.linalg.norm(w - self.truth)), epsilon, capacity, self.log_loss(w))

    def expunge(self) -> Line:
        """This library, noise and certificate included."""
        made: list[Unlearner] = []
        fit = seconds(lambda: made.append(Unlearner.learn_from(self.objective, self.rows, Settings(GUARANTEE, self.sigma))))
        model, times = made[0], []
        report = model.capacity(self.rows.take(np.sort(self.order[-2000:])))
        for m in BATCHES:
            requests = [self.order[k * m : (k + 1) * m] for k in range(5 if m == 1 else 1)]
            twin = Unlearner(model.settings, secret_of(model), LocalEngine(), model._noise)
            twin.forget(self.named(requests[0]), self.without(requests[0]))  # warm
            runs = []
            for gone in requests:
                twin = Unlearner(model.settings, secret_of(model), LocalEngine(), model._noise)
                rows, rest = self.named(gone), self.without(gone)
                runs.append(seconds(partial(twin.forget, rows, rest)))
            times.append(float(np.median(runs)))
        certificate = twin.release.certificate
        with tempfile.TemporaryDirectory() as folder:
            save_unlearner(twin, Path(folder) / "state")
            kept = (Path(folder) / "state").stat().st_size
        capacity = " / ".join(f"{forecast.random:,}" for forecast in report.forecasts)
        data = "no" if certificate.rung == "statistics" else "for 100"
        return self.line("Expunge", fit, times, data, kept, secret_of(twin).point, certificate.epsilon_total, capacity)

    def named(self, gone: NDArray[np.intp]) -> Rows:
        """The rows at ``gone``, told apart by position."""
        rows = self.rows.take(gone)
        return Rows(rows.X, rows.y, ids=gone.tolist())

    def without(self, gone: NDArray[np.intp]) -> Rows:
        """All other rows."""
        return self.rows.take(np.setdiff1d(np.arange(len(self.rows)), gone))

    def sklearn(self, name: str, **kwargs: Any) -> Line:
        """A scikit-learn solver: forgetting is fitting again."""

        def fitted(rows: Rows) -> Array:
            model = SklearnLogisticRegression(fit_intercept=False, **kwargs).fit(rows.X, rows.y)
            return np.asarray(model.coef_[0])

        fit = seconds(lambda: fitted(self.rows))
        weights: list[Array] = []
        rest = self.rows.take(self.stay)
        again = seconds(lambda: weights.append(fitted(rest)))
        return self.line(
            name, fit, [again] * 3, "all", int(rest.X.nbytes), weights[0], 0.0 if "tol" in kwargs else np.inf, "any"
        )

    def baseline(self, name: str, make: Callable[[], Baseline], sigma: float) -> Line:
        """A baseline; ``sigma`` of its noise where its guarantee has one."""
        made: list[Baseline] = []
        fit = seconds(lambda: made.append(make().fit(self.rows)))
        times = []
        for m in BATCHES:
            method = copy.deepcopy(made[0], {id(made[0]._rows): made[0]._rows})
            times.append(seconds(partial(method.forget, self.order[:m])))
        claims, w = method.claims(), method.weights
        epsilon = {"exact": 0.0, "none": np.inf}.get(claims.kind, epsilon_of(claims.distance_bound / sigma, GUARANTEE.delta))
        capacity = {"exact": "any", "none": "0"}.get(claims.kind, "until refit")
        return self.line(name, fit, times, "yes" if claims.needs_data else "no", claims.bytes_kept, w, epsilon, capacity)

    def lines(self) -> list[Line]:
        """All methods."""
        H = self.whole.hessian.dense()
        # noise b on the objective moves the weights by H⁻¹b and costs ½E bᵀH⁻¹b/n
        in_objective = float(np.sqrt(0.002 * len(self.rows) / np.trace(np.linalg.inv(H))))
        o, sigma = self.objective, self.sigma
        found = [
            self.expunge(),
            self.sklearn("newton-cholesky", solver="newton-cholesky"),
            self.sklearn("newton-cholesky, tol=1e-10", solver="newton-cholesky", tol=1e-10),
            self.sklearn("lbfgs"),
            self.sklearn("lbfgs, tol=1e-10", tol=1e-10, max_iter=5000),
        ]
        methods: list[tuple[str, Callable[[], Baseline], float]] = [
            ("retrain cold", lambda: RetrainCold(o), 1.0),
            ("retrain warm", lambda: RetrainWarm(o), 1.0),
            ("DP output perturbation", lambda: OutputPerturbation(o, GUARANTEE, 100, 2.0**0.5, lambda w, _s: w.copy()), sigma),
            ("certified removal", lambda: CertifiedRemoval(o, GUARANTEE, in_objective, lambda w, _s: w.copy()), in_objective),
            ("influence function", lambda: InfluenceFunction(o), 1.0),
            ("projective residual", lambda: ProjectiveResidualUpdate(o), 1.0),
            ("SISA, 10 shards", lambda: Sisa(o, 10), 1.0),
            ("descent-to-delete", lambda: DescentToDelete(o, GUARANTEE, sigma, max_steps=500), sigma),
            ("stored vectors, 50 steps", lambda: StoredVectors(o, 50), 1.0),
        ]
        for name, make, noise in methods:
            try:
                found.append(self.baseline(name, make, noise))
            except CapacityExceeded as refusal:
                found.append(Line(f"{name}: {refusal}", np.nan, [np.nan] * 3, "", 0, np.nan, np.nan, "", np.nan))
        return found


def shown(comparison: Comparison, lines: list[Line], console: Console) -> None:
    """Prints the table of one data set, and when plain retraining is the better choice."""
    n, p = comparison.rows.X.shape
    table = Table(title=f"{comparison.name}: {n:,} rows, p = {p}")
    for heading in (
        "",
        "fit s",
        "1 row ms",
        "10 ms",
        "100 ms",
        "data?",
        "MB kept",
        "distance",
        "ε at equal cost",
        "capacity",
        "log-loss",
    ):
        table.add_column(heading, justify="left" if heading == "" else "right", overflow="fold")
    for line in lines:
        times = [f"{t * 1e3:.2f}" if t < 0.1 else f"{t * 1e3:.0f}" for t in line.forget]
        table.add_row(
            line.name,
            f"{line.fit:.2f}",
            *times,
            line.needs_data,
            f"{line.bytes_kept / 1e6:.1f}",
            f"{line.distance:.1e}",
            "∞" if np.isinf(line.epsilon) else f"{line.epsilon:.2g}",
            line.capacity,
            f"{line.log_loss:.4f}",
        )
    console.print(table)
    ours, retrain = lines[0], lines[6]
    wait, each, together = retrain.forget[0], retrain.forget[0] / ours.forget[0], retrain.forget[2] / ours.forget[2]
    console.print(
        f"Crossover: a warm refit takes {wait:.2f} s, as {each:,.0f} deletions one by one or {together:,.1f} requests of "
        f"100. Plain retraining is the better choice if requests come less often than every {wait:.2f} s, the data is at hand, "
        "and each may wait that long; and for any request beyond the capacity of the last pass."
    )


def floor(console: Console) -> dict[str, float]:
    """Memory bandwidth and BLAS rate, and forgetting as a multiple of the bytes it must move."""
    a = np.ones(1 << 25)
    b = np.empty_like(a)
    bandwidth = 2 * a.nbytes / min(seconds(lambda: np.copyto(b, a)) for _ in range(10))
    square = np.random.default_rng(0).standard_normal((2000, 2000))
    rate = 2 * 2000**3 / min(seconds(lambda: square @ square) for _ in range(5))
    figures = {"bandwidth, GB/s": bandwidth / 1e9, "BLAS, GF/s": rate / 1e9}
    console.print(f"floor: {bandwidth / 1e9:.1f} GB/s copied, {rate / 1e9:.0f} GF/s multiplied")
    for p in (500, 1000, 2000):
        rng = np.random.default_rng(p)
        X = (rng.standard_normal((2 * p, p)) / np.sqrt(p)).astype(np.float32)
        y = (rng.random(2 * p) < 0.5).astype(np.float64)
        settings = Settings(GUARANTEE, 100.0, order=2)
        model = Unlearner.learn_from(Objective(LOSS, p, 10.0, fit_intercept=False), Rows.of(X, y), settings)
        times = []
        for i in range(12):
            time.sleep(0.5)  # the noise is drawn by then
            times.append(seconds(partial(model.forget, Rows.of(X[[i]], y[[i]]))))
        moved = 4 * p * p * 8  # the Hessian and its inverse, each read and written once
        least = min(times[1:])  # as of the floor: whoever else uses the machine only adds to it
        figures[f"forget at p = {p}, ms"] = least * 1e3
        figures[f"forget at p = {p}, × memory floor"] = least / (moved / bandwidth)
        console.print(f"p = {p}: one row in {least * 1e3:.2f} ms, {least / (moved / bandwidth):.1f} × its memory floor")
    return figures


def against_n(console: Console) -> dict[str, float]:
    """Forgetting one row against n."""
    p, figures = 50, {}
    for n in (10**4, 10**5, 10**6, 10**7):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n, p), dtype=np.float32)
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        y = (rng.random(n) < expit(3 * X[:, 0])).astype(np.float64)
        rows = Rows.of(X, y)
        model = Unlearner.learn_from(Objective(LOSS, p, 1.0), rows, Settings(GUARANTEE, 0.06))
        time.sleep(0.5)
        times = [seconds(partial(model.forget, rows.take([i]))) for i in range(30)]
        figures[f"forget one of {n:,}, ms"] = float(np.median(times[5:])) * 1e3
    names = list(figures)
    ratio = figures[names[2]] / figures[names[0]]
    console.print(", ".join(f"{name}: {value:.2f}" for name, value in figures.items()) + f"; 10⁶ against 10⁴: {ratio:.2f}")
    return figures


def pass_over_gradient(console: Console) -> float:
    """How many times one gradient evaluation of the same rows forgetting with one pass takes."""
    study = load_study("flights", SHARED) or load_study("census", SHARED)
    assert study is not None
    rows = Rows.of(study.X, study.y)
    objective = Objective(LOSS, study.X.shape[1], 1.0)
    unlearner = Unlearner.learn_from(objective, rows, Settings(GUARANTEE, 0.0, max_passes=1))
    rest, w = rows.take(slice(1, None)), secret_of(unlearner).point
    take = partial(LocalEngine().reduce, rest, lambda batch: Evaluation(objective, batch, w).gradient, np.add)
    gradients, passes = [], []
    for _ in range(5):  # in turns
        gradients.append(seconds(take))
        twin = Unlearner(unlearner.settings, secret_of(unlearner), LocalEngine(), unlearner._noise)
        passes.append(seconds(partial(twin.forget, rows.take([0]), rest)))
    times = min(passes) / min(gradients)
    console.print(f"forgetting with one pass takes {times:.2f} × one gradient evaluation of the same rows")
    return times


def mnist_three_against_eight() -> Study | None:
    """3 against 8, the peers' standard task."""
    path = SHARED / "mnist.npz"
    if not path.exists():
        return None
    with np.load(path) as arrays:
        parts = []
        for split in ("train", "test"):
            X, y = arrays[f"X_{split}"], arrays[f"y_{split}"]
            chosen = (y == 3) | (y == 8)
            X = X[chosen] / 255.0
            parts += [X / np.linalg.norm(X, axis=1, keepdims=True), (y[chosen] == 3).astype(np.float64)]
    return Study("mnist 3/8", *parts)


def softmax(console: Console) -> dict[str, float] | None:
    """Ten digits, 20,000 of them at 14 × 14: Expunge beside newton-cholesky."""
    path = SHARED / "mnist.npz"
    if not path.exists():
        console.print(f"left out: mnist softmax ({SHARED} does not hold it)")
        return None
    with np.load(path) as arrays:
        X = arrays["X_train"][:21_000].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196) / 255.0
        y = arrays["y_train"][:21_000]
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    model, peer = LogisticRegression(delta=1e-5, sigma=0.05), SklearnLogisticRegression(solver="newton-cholesky")
    figures = {"fit, s": seconds(partial(model.fit, X[1000:], y[1000:]))}
    time.sleep(1.0)
    for m in BATCHES:
        twin, gone, stay = rehearsal(model), slice(1000, 1000 + m), slice(1000 + m, None)
        request = partial(twin.forget, X[gone], y[gone], ids=range(m), remaining=(X[stay], y[stay]))
        figures[f"forget {m}, s"] = seconds(request)
    figures["newton-cholesky, s"] = seconds(partial(peer.fit, X[1100:], y[1100:]))
    for name, fitted in (("Expunge", twin), ("newton-cholesky", peer)):
        chosen = fitted.predict_proba(X[:1000])[np.arange(1000), y[:1000]]
        figures[f"held-out log-loss, {name}"] = float(-np.log(chosen).mean())
    listed = ", ".join(f"{name}: {value:.3f}" for name, value in figures.items())
    console.print(f"mnist softmax, p = {10 * 197}, after 100 deletions by {twin.certificate_.rung}: {listed}")
    return figures


def main() -> None:
    """Prints every table and keeps the figures."""
    console = Console(width=150)
    figures: dict[str, Any] = {"floor": floor(console), "n": against_n(console), "pass": pass_over_gradient(console)}
    studies: list[tuple[str, Study | None]] = [(name, load_study(name, SHARED)) for name in STUDIES]
    for name, study in [*studies, ("mnist 3/8", mnist_three_against_eight())]:
        if study is None:
            console.print(f"left out: {name} ({SHARED} does not hold it)")
            continue
        comparison = Comparison(study)
        lines = comparison.lines()
        shown(comparison, lines, console)
        figures[name] = [vars(line) for line in lines]
    figures["softmax"] = softmax(console)
    console.print(f"written to {record('compare', figures)}")


if __name__ == "__main__":
    main()
