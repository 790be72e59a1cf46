"""How many people can be forgotten before a refit? One batch by each rung, before and after third order and shaped noise.

Logistic regression, C = 1, ε = 1, δ = 1e-5, rows of norm 1 beside the intercept. "Before" is order 2 with isotropic noise of
σ² = 0.004; "after" is order 3 with shaped noise whose true cost in mean loss is no larger. Random people:
the median of ten orders. Worst case: the most influential people first.

Run: make bench, or python -m benchmarks.capacity census flights; --orders N takes fewer, as of digits, whose orders take long
"""

import argparse
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.record import SHARED, record
from expunge.engine.local import LocalEngine
from expunge.errors import ExpungeError
from expunge.numerics.moments import Moments
from expunge.paper.reproduce.studies import load_study
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.anchored import Candidate
from expunge.unlearning.bounds import sekhari2021, worst_case
from expunge.unlearning.cost import NoiseCost
from expunge.unlearning.dense import DenseState
from expunge.unlearning.influence import displacements
from expunge.unlearning.mechanism import Mechanism, mechanism
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner

Index = NDArray[np.intp]

GUARANTEE = Guarantee(1.0, 1e-5)
SIGMA = math.sqrt(0.004)
ORDERS, MAX_PASSES = 10, 1
WANTED = {
    "census": (1_300, 10_000),
    "hospital": (6_500, 30_000),
    "flights": (24_000, 120_000),
    "sentiment": (90, 5_000),
    "digits": (60, 2_500),
}


def no_refit() -> None:
    """Ends a search before a refit."""
    raise ExpungeError("only a refit is left")


class Deletions:
    """A fitted model and what it certifies, found by deleting.

    Args:
        rows: that it learns.
        settings: order and noise.
        max_passes: the most that are tried.
    """

    def __init__(self, rows: Rows, settings: Settings, max_passes: int = MAX_PASSES) -> None:
        self.max_passes = max_passes
        self.rows, self.objective = rows, Objective(Logistic(), rows.X.shape[1])
        self.settings = settings.resolved(self.objective)
        self.state = DenseState.fitted(self.objective, rows, LocalEngine(), order=settings.order_for(self.objective))
        self.moments = None if self.settings.sigma is not None else Moments.of(self.objective, rows)

    def mechanism(self, gone: Rows | None = None) -> Mechanism:
        """The noise once ``gone`` are."""
        moments = self.moments if self.moments is None or gone is None else self.moments - Moments.of(self.objective, gone)
        return mechanism(self.settings, self.objective, moments)

    @property
    def cost(self) -> float:
        """What the noise truly adds to the mean loss."""
        noise = self.mechanism()
        return NoiseCost.over(self.objective, self.rows, self.state.point, lambda rows: noise.spread(self.objective, rows)).cost

    def passes_needed(self, order: Index, m: int) -> float:
        """Gradient passes that certify forgetting the first ``m`` of ``order`` in one request; ``inf`` for a refit."""

        def is_enough(candidate: Candidate) -> bool:
            return noise.distance(candidate) <= noise.scale * GUARANTEE.mu

        try:
            gone, rest = self.rows.take(order[:m]), self.rows.take(order[m:])
            state, noise = self.state.removed(gone), self.mechanism(gone)
            if any(is_enough(candidate) for candidate in state.candidates(None, LocalEngine(), 0)):
                return 0.0
            for candidate in state.candidates(rest, LocalEngine(), self.max_passes, None, no_refit, is_known=True):
                if is_enough(candidate):
                    return candidate.passes
        except ExpungeError:
            pass
        return math.inf

    def capacities(self, order: Index) -> list[int]:
        """The largest m certified within 0, 1, … ``max_passes`` passes, by bisection to 2 %."""
        needed = lru_cache(None)(lambda m: self.passes_needed(order, m))
        found: list[int] = []
        for passes in range(self.max_passes + 1):
            low, high = (found[-1] if found else 0), 1
            while high < len(order) and (high <= low or needed(high) <= passes):
                low, high = max(low, high if needed(high) <= passes else low), 2 * high
            high = min(high, len(order))
            while high - low > max(1, low // 50):
                middle = (low + high) // 2
                low, high = (middle, high) if needed(middle) <= passes else (low, middle)
            found.append(low)
        return found

    def one_by_one(self, order: Index) -> int:
        """Deletions in single requests from the statistics alone, until the budget of all releases is spent."""
        model = Unlearner.learn_from(self.objective, self.rows, self.settings)
        for m, i in enumerate(order):
            try:
                model.forget(self.rows.take([i]))
            except ExpungeError:
                return m
        return len(order)


def table_of(name: str) -> Rows | None:
    """The rows of a study; ``None`` where its file is absent."""
    if name == "digits":
        path = SHARED / "mnist.npz"
        if not path.exists():
            return None
        with np.load(path) as arrays:
            X, y = arrays["X_train"].reshape(-1, 784) / 255.0, arrays["y_train"]
        chosen = (y == 3) | (y == 8)
        X = X[chosen] / np.linalg.norm(X[chosen], axis=1, keepdims=True)
        return Rows.of(X, (y[chosen] == 8).astype(float))
    study = load_study(name, SHARED)  # type: ignore[arg-type]
    if study is None:
        return None
    return Rows.of(study.X[:20_000], study.y[:20_000]) if name == "sentiment" else Rows.of(study.X, study.y)


def equally_dear(rows: Rows, before: Deletions) -> Deletions:
    """The model of today, whose shaped noise truly costs as much as the isotropic noise of ``before``, and no more."""
    after = Deletions(rows, Settings(GUARANTEE))
    return Deletions(rows, Settings(GUARANTEE, excess_risk=0.001 * 0.98 * before.cost / after.cost, order=3))


def from_constants(formula: str, rows: Rows) -> int:
    """Deletions that these constants certify with σ; the intercept must be penalised for them to exist at all."""
    bound, loss, m, row_norm = {"sekhari2021": sekhari2021, "worst_case": worst_case}[formula], Logistic(), 0, math.sqrt(2.0)
    while (
        bound(
            count=len(rows),
            changed=m + 1,
            strong_convexity=1.0,
            lipschitz=loss.derivative_bound * row_norm,
            hessian_lipschitz=loss.third_derivative_bound * row_norm**3,
            gradient=0.0,
        )
        <= SIGMA * GUARANTEE.mu
    ):
        m += 1
    return m


def main(names: list[str], n_orders: int) -> None:
    """Prints the tables and keeps the figures."""
    console, figures = Console(width=130), {}
    for name in names:
        rows = table_of(name)
        if rows is None:
            console.print(f"{name}: its file is not in {SHARED}")
            continue
        before = Deletions(rows, Settings(GUARANTEE, SIGMA, order=2))
        after = equally_dear(rows, before)
        rng = np.random.default_rng(0)
        orders = [rng.permutation(len(rows)) for _ in range(n_orders)]
        found = {
            label: np.array([model.capacities(order) for order in orders])
            for label, model in (("before", before), ("after", after))
        }
        worst = {
            label: model.capacities(np.argsort(-displacements(model.state, rows, model.mechanism().metric)))
            for label, model in (("before", before), ("after", after))
        }
        single = int(np.median([after.one_by_one(order) for order in orders[:3]])) if name == "census" else None
        table = Table(
            title=f"{name}: {len(rows):,} rows × {after.objective.n_parameters} weights, order {after.state.order}; noise "
            f"costs {before.cost:.2g} before, {after.cost:.2g} after; random orders: {n_orders}"
        )
        for heading in ("", "random, before", "random, after", "least and most", "most influential, before", "after", "wanted"):
            table.add_column(heading, justify="right")
        for passes in range(MAX_PASSES + 1):
            old, new = found["before"][:, passes], found["after"][:, passes]
            numbers = (int(np.median(old)), int(np.median(new)), f"{new.min():,} to {new.max():,}", worst["before"][passes])
            cells = (f"{n:,}" if isinstance(n, int) else n for n in (*numbers, worst["after"][passes], WANTED[name][passes]))
            table.add_row("statistics" if passes == 0 else f"{passes} pass", *cells)
        console.print(table)
        if single is not None:
            constants = {formula: from_constants(formula, rows) for formula in ("sekhari2021", "worst_case")}
            console.print(f"one by one, statistics alone, median: {single}; by constants: {constants}")
        figures[name] = {label: array.tolist() for label, array in found.items()} | {"worst": worst, "one_by_one": single}
    console.print(f"written to {record('capacity', figures)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WANTED)}; all by default")
    parser.add_argument("--orders", type=int, default=ORDERS, help="number of random orders")
    given = parser.parse_args()
    main(given.names or list(WANTED), given.orders)
