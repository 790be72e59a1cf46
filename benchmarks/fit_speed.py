"""How long does a fit take beside scikit-learn's newton-cholesky, to a gradient no larger? Flights dense and as CSR, sentiment.

All in one run on one machine, in turns, the least of several. newton-cholesky runs at the loosest tolerance of a list whose
gradient norm is no larger than ours is at the released point, or at the tightest where none is. Run: make bench
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from benchmarks.clock import now
from benchmarks.record import SHARED, record
from expunge.engine.local import LocalEngine
from expunge.numerics.evaluation import Evaluation
from expunge.paper.reproduce.studies import StudyName, load_study
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState

Array = NDArray[np.float64]

TOLERANCES = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
REPEATS = 5


def gradient_norm(objective: Objective, rows: Rows, w: Array) -> float:
    """|∇J| at ``w``."""
    gradient = Evaluation(objective, rows, w).gradient
    return float(np.linalg.norm(gradient + objective.penalty_gradient(w, float(len(rows)))))


def seconds_in_turns(*actions: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """The least time of each, one after the other ``repeats`` times, after one warm-up."""
    times: list[list[float]] = [[] for _ in actions]
    for repeat in range(repeats + 1):
        for action, taken in zip(actions, times, strict=True):
            started = now()
            action()
            if repeat:
                taken.append(now() - started)
    return [min(taken) for taken in times]


def compare(name: StudyName, repeats: int = REPEATS) -> dict[str, float] | None:
    """Seconds and gradient norms on one data set, as CSR too where half of it is 0; ``None`` where it is absent."""
    study = load_study(name, SHARED)
    if study is None:
        return None
    X, y = np.vstack([study.X, study.X_test]), np.concatenate([study.y, study.y_test])
    dense, csr = Rows.of(X, y), Rows.of(sparse.csr_array(X), y)
    objective, engine = Objective(Logistic(), X.shape[1]), LocalEngine()
    ours = DenseState.fitted(objective, dense, engine)
    reached = gradient_norm(objective, dense, ours.point)

    for tolerance in TOLERANCES:
        peer = SklearnLogisticRegression(solver="newton-cholesky", tol=tolerance, max_iter=1000).fit(X, y)
        theirs = gradient_norm(objective, dense, np.append(peer.coef_, peer.intercept_))
        if theirs <= reached:
            break
    density = csr.X.nnz / X.size
    fits: list[Callable[[], Any]] = [lambda: DenseState.fitted(objective, dense, engine), lambda: peer.fit(X, y)]
    if density < 0.5:
        fits.append(lambda: DenseState.fitted(objective, csr, engine))
    by_dense, by_peer, *by_csr = seconds_in_turns(*fits, repeats=repeats)
    figures = {
        "rows": float(len(y)),
        "features": float(X.shape[1]),
        "density": density,
        "gradient norm": reached,
        "newton-cholesky's": theirs,
        "its tol": tolerance,
        "dense, s": by_dense,
        "newton-cholesky, s": by_peer,
        "dense / newton-cholesky": by_dense / by_peer,
    }
    if by_csr:
        sparse_state = DenseState.fitted(objective, csr, engine)
        figures["CSR, s"], figures["dense / CSR"] = by_csr[0], by_dense / by_csr[0]
        figures["|dense − CSR|"] = float(np.linalg.norm(ours.point - sparse_state.point))
    return figures


def main() -> None:
    """Measures, prints and records."""
    console = Console()
    figures = {}
    for name in ("flights", "sentiment", "census"):
        found = compare(name)
        if found is None:
            console.print(f"left out: {name} ({SHARED} does not hold it)")
        else:
            figures[name] = found
    table = Table("", *figures, title="Fitting; targets: dense / newton-cholesky at most 0.5, flights dense / CSR at least 3")
    for row in next(iter(figures.values())):
        table.add_row(row, *(f"{figures[name].get(row, np.nan):.3g}" for name in figures))
    console.print(table)
    record("fit_speed", figures)


if __name__ == "__main__":
    main()
