"""How many people can be forgotten before a refit, on the census data? One batch, each rung, and the paper's constants.

Logistic regression, C = 1, ε = 1, δ = 1e-5, rows normalised by the schema, σ from σ²R²/8 = 0.001 before any row is read.
Random people: the median over ten orders. Worst case: the most influential people first. Run: make bench
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.record import record
from expunge.data.census import census_schema, load_census
from expunge.engine.local import LocalEngine
from expunge.errors import ExpungeError
from expunge.privacy import Guarantee
from expunge.privacy.guarantee import sigma_from_excess_risk
from expunge.privacy.noise import grid_rounding
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.bounds import sekhari2021, worst_case
from expunge.unlearning.dense import DenseState
from expunge.unlearning.influence import displacements
from expunge.unlearning.settings import Settings
from expunge.unlearning.state import State
from expunge.unlearning.unlearner import Unlearner

GUARANTEE = Guarantee(1.0, 1e-5)
ORDERS, MAX_PASSES = 10, 3
WANTED = (25, 600, 1800, 3200)


class Deletions:
    """A fitted model and what it certifies, found by deleting."""

    def __init__(self, X: NDArray[np.float64], y: NDArray[np.float64], sigma: float, state: State) -> None:
        self.rows, self.state, self.sigma = Rows.of(X, y), state, sigma
        self.allowed = sigma * GUARANTEE.mu - grid_rounding(len(state.anchor), sigma)

    def passes_needed(self, order: NDArray[np.intp], m: int) -> float:
        """Gradient passes that certify forgetting the first ``m`` of ``order`` in one request; ``inf`` for a refit."""
        try:
            state = self.state.removed(self.rows.take(order[:m]))
            for candidate in state.candidates(self.rows.take(order[m:]), LocalEngine(), MAX_PASSES):
                if candidate.distance_bound <= self.allowed or candidate.passes == MAX_PASSES:
                    return candidate.passes if candidate.distance_bound <= self.allowed else math.inf
        except ExpungeError:
            pass
        return math.inf

    def capacities(self, order: NDArray[np.intp]) -> list[int]:
        """The largest m certified within 0, 1, … ``MAX_PASSES`` passes, by bisection to 2 %."""
        needed = lru_cache(None)(lambda m: self.passes_needed(order, m))
        found: list[int] = []
        for passes in range(MAX_PASSES + 1):
            low, high = (found[-1] if found else 0), 1
            while high < len(order) and (high <= low or needed(high) <= passes):
                low, high = max(low, high if needed(high) <= passes else low), 2 * high
            high = min(high, len(order))
            while high - low > max(1, low // 50):
                middle = (low + high) // 2
                low, high = (middle, high) if needed(middle) <= passes else (low, middle)
            found.append(low)
        return found


class Census(Deletions):
    """The census model."""

    def __init__(self) -> None:
        X, y = load_census("train")
        row_norm = math.hypot(census_schema().row_norm, 1.0)  # the intercept's 1 included
        sigma = sigma_from_excess_risk(0.001, Logistic().curvature_trace_bound, row_norm)
        self.objective, self.row_norm = Objective(Logistic(), X.shape[1], 1.0), row_norm
        super().__init__(X, y, sigma, DenseState.fitted(self.objective, Rows.of(X, y), LocalEngine()))

    def one_by_one(self, order: NDArray[np.intp]) -> int:
        """Deletions in single requests from the statistics alone, until the budget of all releases is spent."""
        settings = Settings(GUARANTEE, self.sigma)
        model = Unlearner.learn_from(self.objective, self.rows, settings)
        for m, i in enumerate(order):
            try:
                model.forget(self.rows.take([i]))
            except ExpungeError:
                return m
        return len(order)

    def from_constants(self, formula: str) -> int:
        """Deletions that these constants certify; the intercept must be penalised for them to exist at all."""
        bound, loss, m = {"sekhari2021": sekhari2021, "worst_case": worst_case}[formula], Logistic(), 0
        while (
            bound(
                count=len(self.rows),
                changed=m + 1,
                strong_convexity=1.0,
                lipschitz=loss.derivative_bound * self.row_norm,
                hessian_lipschitz=loss.third_derivative_bound * self.row_norm**3,
                gradient=0.0,
            )
            <= self.allowed
        ):
            m += 1
        return m


def main() -> None:
    """Prints the table and keeps the figures."""
    console = Console(width=110)
    census = Census()
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(census.rows)) for _ in range(ORDERS)]
    found = np.array([census.capacities(order) for order in orders])
    worst = census.capacities(np.argsort(-displacements(census.state, census.rows)))
    table = Table(title=f"People of {len(census.rows):,} certified in one batch, σ = {census.sigma:.4f}")
    for heading in ("gradient passes", "random, median of 10", "least", "most", "most influential first", "wanted"):
        table.add_column(heading, justify="right")
    for passes, wanted in enumerate(WANTED):
        column = found[:, passes]
        numbers = (int(np.median(column)), column.min(), column.max(), worst[passes], wanted)
        table.add_row("0 (statistics)" if passes == 0 else str(passes), *(f"{number:,}" for number in numbers))
    console.print(table)
    single = int(np.median([census.one_by_one(order) for order in orders]))
    constants = {formula: census.from_constants(formula) for formula in ("sekhari2021", "worst_case")}
    console.print(
        f"one by one, statistics alone, median: {single}; "
        f"by the paper's constants: {constants['paper']}; by theory §4.1's: {constants['worst_case']}"
    )
    figures = {"sigma": census.sigma, "random": found.tolist(), "influential": worst, "one_by_one": single, **constants}
    console.print(f"written to {record('capacity', figures)}")


if __name__ == "__main__":
    main()
