"""How long does a fit take beside glum, the fastest GLM library, at its gradient and at a small one? Flights, census, policies.

Everything in one run on one machine, in turns, the least of several. glum gets its best representation: tabmat's categorical
blocks where rows are categories as they are, else tabmat's split of dense and sparse columns; its objective is ours divided by
the number of rows. Ours gets the same rows dense and as CSR. Needs ``pip install glum``. Run: python -m benchmarks.glm
"""

import os
from collections.abc import Callable
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
from expunge.paper.reproduce.studies import StudyName, load_study
from expunge.problem.losses import Logistic, Loss, Poisson
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState

Array = NDArray[np.float64]

TIGHT = 1e-10
"""The smaller tolerance that glum is asked for."""
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
    dense, csr, blocks = Rows.of(X, y), Rows.of(sparse.csr_array(X), y), for_glum(X, codes)
    family = "binomial" if isinstance(loss, Logistic) else "poisson"

    def peer(tolerance: float | None) -> Callable[[], Any]:
        goal = {} if tolerance is None else {"gradient_tol": tolerance}
        model = GeneralizedLinearRegressor(family=family, alpha=1.0 / len(y), l1_ratio=0.0, max_iter=1000, **goal)
        return lambda: model.fit(blocks, y)

    def ours(rows: Rows, order: int = 2) -> Callable[[], DenseState]:
        return lambda: DenseState.fitted(objective, rows, engine, order=order)

    actions = {
        "glum": peer(None),
        f"glum, {TIGHT:g}": peer(TIGHT),
        "dense": ours(dense),
        "csr": ours(csr),
        "csr, order 3": ours(csr, 3),
    }
    figures = dict(zip(actions, seconds_in_turns(*actions.values(), repeats=repeats), strict=True))
    for key in ("glum", f"glum, {TIGHT:g}"):
        fitted = actions[key]()
        figures[f"gradient of {key}"] = gradient_norm(objective, dense, np.append(fitted.coef_, fitted.intercept_))
    figures["our gradient"] = gradient_norm(objective, dense, ours(csr)().point)
    return figures | {"rows": len(y), "features": X.shape[1]}


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
    headings = ("", "glum", f"glum, {TIGHT:g}", "ours, dense", "ours, CSR", "CSR, order 3", "CSR / glum", "CSR / glum, tight")
    for heading in headings:
        table.add_column(heading, justify="right")
    for label, row in found.items():
        peers = [f"{row[key]:.2f} ({row[f'gradient of {key}']:.0e})" for key in ("glum", f"glum, {TIGHT:g}")]
        own = [f"{row['dense']:.2f}", f"{row['csr']:.2f} ({row['our gradient']:.0e})", f"{row['csr, order 3']:.2f}"]
        ratios = [f"{row['csr'] / row['glum']:.2f}", f"{row['csr'] / row[f'glum, {TIGHT:g}']:.2f}"]
        table.add_row(f"{label}, {row['rows']:,} × {row['features']}", *peers, *own, *ratios)
    console.print(table)
    console.print(f"written to {record('glm', found)}")


if __name__ == "__main__":
    main()
