"""How tight is the certificate? True distance to retraining, its bound at order 2 and 3, and the average-case rate k·p/n².

Logistic regression, C = 1, ε = 1, δ = 1e-5, rows of norm 1 beside the intercept, the default noise. From the statistics alone
go k people at once: at random (the median of some orders), and the most influential first. The truth is found by retraining on
what remains with code of its own, by Newton steps from 80-bit gradients. Exit status 1 where a bound is below the truth.

Run: python -m benchmarks.tightness census flights, or --quick; --out docs/tightness writes the page of the documentation
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity import GUARANTEE, WANTED, Deletions, table_of
from benchmarks.record import RESULTS, SHARED, record
from expunge.audit.figures import COLOURS, new_figure
from expunge.paper.reproduce.page import Section, Table
from expunge.problem.rows import Rows
from expunge.unlearning.bounds import exponential_tail
from expunge.unlearning.influence import displacements
from expunge.unlearning.ladder import from_statistics
from expunge.unlearning.settings import Settings
from expunge.unlearning.taylor import spread

Array = NDArray[np.float64]
Index = NDArray[np.intp]

DRAWS, QUICK_COUNTS = 5, (1, 10, 100)
BATCH = 1 << 13
TARGET = 8
"""The most that order 3 may have as median of bound over truth."""
METRICS = {"noise": "in the noise's metric, over its scale (μ)", "euclidean": "in the 2-norm"}
WHOM = {"random": "at random", "influential": "the most influential first"}
SUMMARY = (
    "",
    "finite bounds",
    "below the truth",
    "order 2 at random, bound / truth",
    "order 3 at random",
    "order 2, most influential",
    "order 3, most influential",
    "Newton step's true error / rate",
    "its slope in ln k (rate: 1)",
)
LOST_AT = 100
LOST = (
    "the rows' remainders might all point the same way (Cauchy–Schwarz)",
    "a fourth derivative is taken to be as large as the second",
    "each row is taken to move as far as the one that moves most",
    "how far that is is bounded from the statistics",
    "the sum of fourth powers is bounded from the statistics (K)",
    "sandwich, from the Hessian's metric to the noise's, rounding, grid",
)
"""Where a bound of third order exceeds the truth, from the truth up."""
INTRODUCTION = """# How tight the certificate is

Written by `python -m benchmarks.tightness --out docs/tightness`; nothing on this page is typed in by hand.

A certificate bounds how far the un-noised weights $\\bar w$ are from $\\hat w'$, those of retraining on the people who remain.
Here are truth and bound beside each other, for $k$ people forgotten at once from the statistics alone, with no pass over any
row: at random (each number the median of {draws} orders), and the most influential first. Logistic regression, C = 1, rows of
norm 1 beside the intercept, the default noise. The truth is found by code that shares nothing with the product: Newton steps
from 80-bit gradients.

- **Order 2** is the Newton step of the literature; **order 3** is the default where its third derivatives fit in memory.
- **Two metrics.** In the metric of the noise, over its scale, the distance is μ, which may be {mu:.3f} for one release at ε = 1
  and δ = 1e-5. In the 2-norm it is what the literature measures.
- **Bounds** hold rounding and the grid of the noise, and do not fall to zero with the truth. Where one is ∞, a request needs a
  pass.
- **The average-case rate** is that of [Rubinstein and Hopkins](https://arxiv.org/abs/2512.12572): for $k$ people at random and
  well-behaved rows the Newton step errs by $\\mathbb E|\\bar w - \\hat w'|_2 = \\tilde\\Theta(kp/n^2)$, up to constants and
  powers of logarithms. It is drawn with the constant 1. It is a rate, not a bound: it says nothing of this person or of this
  data set, and nothing of people who were not drawn at random. Where rows have unit covariance, as there, the 2-norm is up to a
  constant that of the mean Hessian $H/n$. Ours have norm 1, so that their weights are larger, and the rate is to be compared in
  the noise's metric, whose A takes the place of H: there $kp/n^2$ is $\\sqrt n\\,kp/(n^2 s)$, with $s$ the noise's scale."""


@dataclass(frozen=True)
class Measured:
    """What forgetting k people by the statistics of one order gave; distances by metric.

    Args:
        whom: at random, or the most influential.
        count: k.
        order: of the statistics, 2 or 3.
        true: |w̄ − ŵ′|.
        bound: on it; ``inf`` where the statistics prove nothing.
        rate: the average-case rate.
    """

    whom: str
    count: int
    order: int
    true: dict[str, float]
    bound: dict[str, float]
    rate: dict[str, float]


def retrained(rows: Rows, start: Array) -> Array:
    """The minimum for C = 1 of a penalised logistic loss, found with no code of what is judged by it, ``(p,)``.

    Args:
        rows: dense, with targets 0 and 1, ``(n_rows, p − 1)``; the intercept is added here.
        start: near the minimum, ``(p,)``.

    Raises:
        RuntimeError: Newton's steps did not settle.
    """
    X, penalty = np.column_stack([rows.X, np.ones(len(rows))]), np.append(np.ones(rows.X.shape[1]), 0.0)
    w, before = start.astype(np.longdouble), math.inf
    while True:
        gradient, hessian = penalty * w, np.diag(penalty)
        for at in range(0, len(X), BATCH):
            x, y = X[at : at + BATCH], rows.y[at : at + BATCH]
            wide = x.astype(np.longdouble)
            chance = 1.0 / (1.0 + np.exp(-(wide @ w)))
            gradient += (chance - y) @ wide
            root = np.sqrt(chance * (1.0 - chance)).astype(np.float64)[:, None] * x
            hessian += root.T @ root
        step = np.linalg.solve(hessian, gradient.astype(np.float64))
        size = float(np.linalg.norm(step) / (1.0 + np.linalg.norm(w.astype(np.float64))))
        if not size < before:
            if not before < 1e-14:
                raise RuntimeError(f"retraining did not settle: its steps no longer shrink at {before:.1e}")
            return w.astype(np.float64)
        w, before = w - step, size
        if size < 1e-17:
            return w.astype(np.float64)


def counts_up_to(most: int) -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, …"""
    power = 1
    while power <= most:
        yield from (k * power for k in (1, 2, 5) if k * power <= most)
        power *= 10


def forgotten(model: Deletions, order: Index, k: int, exact: Array, whom: str) -> Measured:
    """Forgets the first ``k`` of ``order`` and measures.

    Args:
        exact: ŵ′, the weights retrained without them, ``(p,)``.
        whom: as of ``Measured``.
    """
    gone, n, p = model.rows.take(order[:k]), len(model.rows), model.objective.n_parameters
    noise = model.mechanism(gone)
    metric = np.eye(p) if noise.metric is None else noise.metric
    last = from_statistics(model.state.removed(gone).settled().tightened(), sharply=True)
    away, rate = last.point - exact, k * p / n**2
    return Measured(
        whom,
        k,
        model.state.order,
        {"noise": float(np.linalg.norm(metric.T @ away)) / noise.scale, "euclidean": float(np.linalg.norm(away))},
        {"noise": noise.distance(last) / noise.scale, "euclidean": last.distance_bound},
        {"noise": math.sqrt(n) * rate / noise.scale, "euclidean": rate},
    )


def lost_at(model: Deletions, order: Index, k: int, exact: Array) -> list[float]:
    """By which factors the bound of third order exceeds the truth, by the steps of ``LOST``, for the first ``k`` of ``order``.

    Args:
        exact: ŵ′, the weights retrained without them, ``(p,)``.
    """
    rows, measured = model.rows.take(order[k:]), forgotten(model, order, k, exact, "random")
    state = model.state.removed(model.rows.take(order[:k])).settled().tightened()
    last = from_statistics(state, sharply=True)
    step, away, hessian = last.point - state.anchor, last.point - exact, state.hessian.dense()
    X = np.column_stack([rows.X, np.ones(len(rows))])
    tau, chance = X @ step, 1.0 / (1.0 + np.exp(-(X @ state.anchor)))
    curvature = chance * (1.0 - chance)
    t, fourth = last.hessian_change, math.sqrt(float(curvature @ tau**4))
    sizes = [
        math.sqrt(float(away @ hessian @ away)),
        math.sqrt(float(curvature @ ((1.0 - 6.0 * curvature) * tau**3 / 6.0) ** 2)),
        math.sqrt(float(curvature @ (tau**3 / 6.0) ** 2)),
        float(np.abs(tau).max()) / 6.0 * fourth,
        t * exponential_tail(t, 3) * fourth,
        t * exponential_tail(t, 3) * spread(state.higher, state.reference, step),
    ]
    factors = [after / before for before, after in pairwise(sizes)]
    return [*factors, measured.bound["noise"] / measured.true["noise"] / math.prod(factors)]


def measure(rows: Rows, counts: Sequence[int], draws: int) -> tuple[list[Measured], list[float]]:
    """All that is measured on a data set, by both orders of the statistics, for every k until neither proves anything; and what
    order 3 loses at ``LOST_AT`` people at random, if it is kept."""
    best = Deletions(rows, Settings(GUARANTEE))
    models = [*([Deletions(rows, Settings(GUARANTEE, order=2))] if best.state.order > 2 else []), best]
    rng = np.random.default_rng(0)
    deletions = {
        "random": [rng.permutation(len(rows)) for _ in range(draws)],
        "influential": [np.argsort(-displacements(best.state, rows, best.mechanism().metric))],
    }
    found: list[Measured] = []
    lost: list[list[float]] = []
    for whom, orders in deletions.items():
        for k in counts:
            here: list[Measured] = []
            for order in orders:
                exact = retrained(rows.take(order[k:]), best.state.point)
                here += [forgotten(model, order, k, exact, whom) for model in models]
                if (whom, k, best.state.order) == ("random", LOST_AT, 3):
                    lost.append(lost_at(best, order, k, exact))
            found += here
            if not any(math.isfinite(each.bound["noise"]) for each in here):
                break
    return found, np.median(lost, axis=0).tolist() if lost else []


class Findings:
    """What was measured on a data set, told.

    Args:
        name: of the data set.
        rows: of it.
        found: what was measured.
        lost: where order 3 loses.
    """

    def __init__(self, name: str, rows: Rows, found: list[Measured], lost: list[float]) -> None:
        self.name, self.found, self.lost = name, found, lost
        self.orders = sorted({each.order for each in found})
        self.title = f"{name.capitalize()}: {len(rows):,} rows × {rows.X.shape[1] + 1} weights"

    def medians(self, whom: str, order: int, metric: str) -> dict[int, tuple[float, ...]]:
        """Truth, bound and rate by k, each the median over the orders of deletion."""
        by_count: dict[int, list[tuple[float, ...]]] = {}
        for each in self.found:
            if (each.whom, each.order) == (whom, order):
                by_count.setdefault(each.count, []).append((each.true[metric], each.bound[metric], each.rate[metric]))
        return {k: tuple(float(value) for value in np.median(values, axis=0)) for k, values in by_count.items()}

    def ratio(self, order: int, whom: str, metric: str = "noise") -> float:
        """The median of bound over truth, of the finite bounds."""
        chosen = [each for each in self.found if (each.whom, each.order) == (whom, order) and math.isfinite(each.bound[metric])]
        return float(np.median([each.bound[metric] / each.true[metric] for each in chosen])) if chosen else math.nan

    @property
    def n_bounds(self) -> int:
        """How many bounds are finite."""
        return sum(math.isfinite(each.bound[metric]) for each in self.found for metric in METRICS)

    @property
    def violations(self) -> int:
        """How many bounds are below the truth."""
        return sum(not each.bound[metric] >= each.true[metric] for each in self.found for metric in METRICS)

    @property
    def against_the_rate(self) -> tuple[float, float, float]:
        """Slope in ln k of the Newton step's true error at random people, and the least and most of it over the rate; in the
        noise's metric."""
        medians = self.medians("random", 2, "noise")
        true, rate = (np.array([value[i] for value in medians.values()]) for i in (0, 2))
        return (
            float(np.polyfit(np.log(list(medians)), np.log(true), 1)[0]),
            float((true / rate).min()),
            float((true / rate).max()),
        )

    def summary(self) -> tuple[str, ...]:
        """A line of the page's first table."""
        slope, least, most = self.against_the_rate
        ratios = [f"{self.ratio(order, whom):,.0f}" if order in self.orders else "" for whom in WHOM for order in (2, 3)]
        return (self.title, f"{self.n_bounds}", f"{self.violations}", *ratios, f"{least:.2g} to {most:.2g}", f"{slope:.2f}")

    def section(self) -> Section:
        """For the page."""
        figure = self.figure()
        return Section(
            self.name,
            self.title,
            "No bound is below the truth; the Newton step errs by about $kp/n^2$ at random people.",
            f"{self.n_bounds} finite bounds, {self.violations} below the truth.",
            [self.table(metric) for metric in METRICS],
            figure,
            f"{self.name}: truth, bound and average-case rate against the number of people forgotten",
        )

    def table(self, metric: str) -> Table:
        """Medians by k, of one metric."""
        sides = [f"{what}, order {order}" for order in self.orders for what in ("truth", "bound")]
        lines = []
        for whom, words in WHOM.items():
            by_order = [self.medians(whom, order, metric) for order in self.orders]
            for k in by_order[0]:
                values = [*chain.from_iterable(medians[k][:2] for medians in by_order), by_order[0][k][2]]
                shown = ["∞" if math.isinf(value) else f"{value:.2g}" for value in values]
                lines.append((words, f"{k:,}", *(shown if whom == "random" else [*shown[:-1], ""])))
        return Table((METRICS[metric], "k", *sides, "rate"), lines)

    def figure(self) -> Any:
        """Truth, bound and rate against k: the metrics from top to bottom, random people on the left."""
        figure, axes = new_figure((2, 2), size=(9.0, 7.0))
        for row, metric in zip(axes, METRICS, strict=True):
            for axis, (whom, words) in zip(row, WHOM.items(), strict=True):
                for order in self.orders:
                    medians, colour = self.medians(whom, order, metric), COLOURS["ours" if order == 3 else "paper"]
                    for i, (what, style) in enumerate((("truth", "o-"), ("bound", "s--"))):
                        values = [value[i] if math.isfinite(value[i]) else math.nan for value in medians.values()]
                        axis.loglog(list(medians), values, style, color=colour, markersize=4, label=f"{what}, order {order}")
                if whom == "random":
                    medians = self.medians(whom, 2, metric)
                    rates = [value[2] for value in medians.values()]
                    axis.loglog(list(medians), rates, ":", color=COLOURS["dp"], label="average-case rate, kp/n²")
                if metric == "noise":
                    axis.axhline(GUARANTEE.mu, color=COLOURS["exact"], linewidth=0.8, label="allowed: ε = 1, δ = 1e-5")
                axis.set(xlabel="people forgotten at once, k", ylabel="μ" if metric == "noise" else "2-norm")
                axis.set_title(f"{self.name}, {words}", fontsize=10)
        axes[0, 0].legend(fontsize=7)
        return figure


def overview(findings: Sequence[Findings]) -> Section:
    """All data sets on one table, and where the factor between bound and truth comes from."""
    tables = [Table(SUMMARY, [each.summary() for each in findings])]
    ratios = [each.ratio(3, whom) for each in findings for whom in WHOM if 3 in each.orders]
    lost = [each for each in findings if each.lost]
    if lost:
        lines = [(words, *(f"{each.lost[i]:.1f}" for each in lost)) for i, words in enumerate(LOST)]
        whole = ("**all together**", *(f"**{math.prod(each.lost):,.0f}**" for each in lost))
        tables.append(Table((f"What order 3 loses, k = {LOST_AT} at random", *(each.name for each in lost)), [*lines, whole]))
    return Section(
        "overview",
        "Bound over truth",
        f"No bound is below the truth, and one of order 3 is at most {TARGET} times it in the median.",
        f"{sum(each.violations for each in findings)} of {sum(each.n_bounds for each in findings):,} finite bounds are below "
        f"the truth. In the noise's metric the medians at order 3 are from {min(ratios, default=math.nan):,.0f} to "
        f"{max(ratios, default=math.nan):,.0f}. The second table says where the factor comes from.",
        tables,
    )


def main(given: list[str]) -> None:
    """Prints the tables, and writes the page, the figures and the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tightness")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(WANTED)}; all by default")
    parser.add_argument("--quick", action="store_true", help=f"the census alone, k = {QUICK_COUNTS}, one random order")
    parser.add_argument("--out", type=Path, default=RESULTS / "tightness", help="folder of the page and its figures")
    asked = parser.parse_args(given)
    asked.out.mkdir(parents=True, exist_ok=True)
    draws, told, parts = 1 if asked.quick else DRAWS, [], []
    for name in ["census"] if asked.quick else asked.names or list(WANTED):
        rows, started = table_of(name), time.perf_counter()
        if rows is None:
            print(f"{name}: its file is not in {SHARED}")
            continue
        counts = QUICK_COUNTS if asked.quick else tuple(counts_up_to(len(rows) // 5))
        told.append(Findings(name, rows, *measure(rows, counts, draws)))
        parts.append(told[-1].section().write(asked.out))
        print(f"{parts[-1]}\n\n({time.perf_counter() - started:.0f} s)\n", flush=True)
    first = overview(told).write(asked.out)
    page = asked.out / "index.md"
    page.write_text("\n\n".join([INTRODUCTION.format(draws=draws, mu=GUARANTEE.mu), first, *parts]) + "\n", encoding="utf-8")
    figures = {each.name: {"measured": [vars(line) for line in each.found], "lost": each.lost} for each in told}
    print(f"{first}\n\nwritten to {page} and {record('tightness', figures)}")
    sys.exit(any(each.violations for each in told))


if __name__ == "__main__":
    main(sys.argv[1:])
