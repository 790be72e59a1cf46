"""How long does a fit take beside glum, the fastest GLM library, at its gradient and at a small one? Flights, census, policies.

Everything in one run on one machine, in turns, the least of several. glum gets its best representation, made before: tabmat's
categorical blocks where rows are categories as they are, else tabmat's split of dense and sparse columns; its objective is ours
divided by the number of rows. Ours gets its own blocks, made before, and stops once its gradient is no larger than glum's;
and the same rows dense, as CSR and in blocks for whole fits, with all that is kept for forgetting.
Needs ``pip install glum``. Run: python -m benchmarks.glm
"""

import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse

from benchmarks.fit_speed import REPEATS, gradient_norm, seconds_in_turns
from benchmarks.record import SHARED, record
from expunge.engine.local import LocalEngine
from expunge.numerics.solver import minimise
from expunge.numerics.splitting import split
from expunge.numerics.support import Support
from expunge.paper.reproduce.studies import StudyName, load_study
from expunge.problem.losses import Logistic, Loss, Poisson
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState

Array = NDArray[np.float64]

TIGHT = 1e-10
"""The smaller tolerance that glum is asked for."""
TIGHTLY = f"glum, {TIGHT:g}"
ENOUGH = (1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6, 1e-8, 0.0)
"""Lengths of a Newton step at which ours stops: the first whose gradient is no larger than glum's is measured."""
POLICIES, LEVELS = 600_000, (3, 4, 5, 6, 8, 10, 12, 15, 20, 25)


def policies() -> tuple[Array, list[NDArray[np.intp]], Array]:
    """Synthetic policies of ten categories and how many claims they have: one-hot rows, the categories' codes, the counts."""
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, levels, POLICIES) for levels in LEVELS]
    blocks = [np.eye(levels)[code] for levels, code in zip(LEVELS, codes, strict=True)]
    X = np.hstack(blocks)
    rate = np.exp(-2.0 + X @ (0.2 * rng.normal(size=X.shape[1])))
    return X, codes, rng.poisson(rate).astype(float)


def for_glum(X: Array, codes: list[NDArray[np.intp]] | None) -> Any:
    """The rows as tabmat holds them best."""
    import tabmat

    if codes is None:
        return tabmat.from_csc(sparse.csc_matrix(X))
    return tabmat.SplitMatrix([tabmat.CategoricalMatrix(code) for code in codes])


def compare(
    X: Array, y: Array, loss: Loss, codes: list[NDArray[np.intp]] | None = None, repeats: int = REPEATS
) -> dict[str, float]:
    """Seconds and gradients of one data set."""
    from glum import GeneralizedLinearRegressor

    objective, engine = Objective(loss, X.shape[1]), LocalEngine()
    dense, csr, theirs = Rows.of(X, y), Rows.of(sparse.csr_array(X), y), for_glum(X, codes)
    blocks = split(objective, csr, Support.of(objective, csr))
    family = "binomial" if isinstance(loss, Logistic) else "poisson"

    def peer(tolerance: float | None) -> Callable[[], Any]:
        goal = {} if tolerance is None else {"gradient_tol": tolerance}
        model = GeneralizedLinearRegressor(family=family, alpha=1.0 / len(y), l1_ratio=0.0, max_iter=1000, **goal)
        return lambda: model.fit(theirs, y)

    def whole(rows: Rows, order: int = 2) -> Callable[[], DenseState]:
        return lambda: DenseState.fitted(objective, rows, engine, order=order)

    def gradient(w: Array) -> float:
        return gradient_norm(objective, dense, w)

    figures: dict[str, float] = {"rows": len(y), "features": X.shape[1]}
    actions: dict[str, Callable[[], Any]] = {}
    for key, tolerance in (("glum", None), (TIGHTLY, TIGHT)):
        actions[key] = peer(tolerance)
        fitted = actions[key]()
        goal = figures[f"gradient of {key}"] = gradient(np.append(fitted.coef_, fitted.intercept_))
        for enough in ENOUGH:
            actions[f"as {key}"] = partial(minimise, objective, blocks, engine, enough=enough)
            reached = figures[f"gradient as {key}"] = gradient(actions[f"as {key}"]().point)
            if reached <= goal:
                break
    actions |= {"dense": whole(dense), "csr": whole(csr), "csr, order 3": whole(csr, 3), "blocks": whole(blocks)}
    figures |= dict(zip(actions, seconds_in_turns(*actions.values(), repeats=repeats), strict=True))
    return figures | {"our gradient": gradient(whole(csr)().point)}


def gradient_of(key: str) -> str:
    """Under which name the gradient of some weights is."""
    return f"gradient {key}" if key.startswith("as ") else f"gradient of {key}"


def main() -> None:
    """Prints the table and keeps the figures."""
    console, found = Console(width=140), dict[str, Any]()
    names: tuple[StudyName, ...] = ("flights", "census")
    for name in names:
        study = load_study(name, SHARED)
        if study is None:
            console.print(f"left out: {name} ({SHARED} does not hold it)")
            continue
        X, y = np.vstack([study.X, study.X_test]), np.concatenate([study.y, study.y_test])
        found[name] = compare(X, y, Logistic())
    X, codes, y = policies()
    found["policies"] = compare(X, y, Poisson(), codes)
    title = f"glum {version('glum')}, tabmat {version('tabmat')}; OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS')}"
    table = Table(title=f"{title}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}; seconds (gradient norm)")
    peers = ("glum", "as glum", TIGHTLY, f"as {TIGHTLY}")
    for heading in ("", *peers, "blocks", "CSR", "dense", "CSR, order 3", "as glum / glum", "tight", "whole / glum"):
        table.add_column(heading, justify="right")
    for label, row in found.items():
        ours = [f"{row[key]:.2f}" for key in ("blocks", "csr", "dense", "csr, order 3")]
        ratios = [f"{row[a] / row[b]:.2f}" for a, b in (("as glum", "glum"), (f"as {TIGHTLY}", TIGHTLY), ("blocks", "glum"))]
        reached = [f"{row[key]:.2f} ({row[gradient_of(key)]:.0e})" for key in peers]
        table.add_row(f"{label}, {row['rows']:,} × {row['features']}", *reached, *ours, *ratios)
    console.print(table)
    console.print(f"written to {record('glm', found)}")


if __name__ == "__main__":
    main()
