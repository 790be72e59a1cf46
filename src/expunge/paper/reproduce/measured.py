"""What is measured by deleting: size and time, linear models, population risk, the mean, the ceiling. Theory §2, §3, §5.3."""

import time
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from expunge.audit.figures import COLOURS, new_figure
from expunge.engine.local import LocalEngine
from expunge.linear_model import LogisticRegression
from expunge.numerics.row_norms import row_norms
from expunge.paper.algorithms import PaperUnlearner, RowLoss
from expunge.paper.capacity import HeldOutRisk, Method, Setting, deletion_capacity, empirical_capacity
from expunge.paper.mean import MeanEstimator
from expunge.paper.reproduce.page import Section, Table
from expunge.paper.reproduce.studies import STUDIES, Study, load_study
from expunge.privacy import Guarantee
from expunge.privacy.guarantee import sigma_from_excess_risk
from expunge.privacy.noise import grid_rounding
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.bounds import sekhari2021
from expunge.unlearning.dense import DenseState, require_hessian
from expunge.unlearning.influence import deletion_order
from expunge.unlearning.ladder import from_statistics
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner, secret_of

Array = NDArray[np.float64]

EPSILON, DELTA, GAMMA, EXCESS_RISK = 1.0, 1e-5, 0.01, 0.001
LOSS = Logistic()
LINES = {
    "Newton": ("Newton step (the paper), computed", "--", "paper"),
    "DP": ("differential privacy, computed", "--", "dp"),
    "linear model": ("Newton step, linear model, computed", ":", "other"),
    "certified": ("measured: certified by the statistics alone, random rows", "o-", "ours"),
    "harmless": ("measured: risk within γ, the most influential rows go", "s-", "exact"),
}


def plain_logistic(ridge: float) -> RowLoss:
    """Logistic loss with ½·ridge·|w|² in every row, as plain functions of rows z = (x, y)."""

    def value(w: Array, Z: Array) -> Array:
        t = Z[:, :-1] @ w
        return np.asarray(np.logaddexp(0.0, t) - Z[:, -1] * t)

    def gradient(w: Array, Z: Array) -> Array:
        return np.asarray((expit(Z[:, :-1] @ w) - Z[:, -1])[:, None] * Z[:, :-1])

    def hessian(w: Array, Z: Array) -> Array:
        t, X = Z[:, :-1] @ w, Z[:, :-1]
        return np.asarray((expit(t) * expit(-t))[:, None, None] * X[:, :, None] * X[:, None, :])

    return RowLoss(value, gradient, hessian).ridge(ridge)


def unit_rows(n: int, p: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows of norm 1, the k-th coordinate of size 1/k, and labels drawn from a logistic model of them."""
    X = rng.standard_normal((n, p)) / np.arange(1, p + 1)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    truth = rng.standard_normal(p)
    return X, (rng.random(n) < expit(3.0 * X @ truth)).astype(np.float64)


def statistic() -> Section:
    """Size of T(S) and time to unlearn, against n."""
    p, m, rng = 5, 10, np.random.default_rng(0)
    model = PaperUnlearner(
        plain_logistic(0.1),
        p,
        strong_convexity=0.1,
        lipschitz=2.0,
        hessian_lipschitz=LOSS.third_derivative_bound,
        epsilon=EPSILON,
        delta=DELTA,
    )
    rows = []
    for n in (10**3, 10**4, 10**5, 10**6):
        Z = np.column_stack(unit_rows(n, p, rng))
        started = time.perf_counter()
        learned = model.learn(Z)
        learning = time.perf_counter() - started
        model.unlearn(Z[:m], learned)
        times = []
        for _ in range(20):
            started = time.perf_counter()
            model.unlearn(Z[:m], learned)
            times.append(time.perf_counter() - started)
        sigma = model.sigma(m, n)
        rows.append(
            (f"{n:,}", f"{learned.statistic_bytes}", f"{learning:.2f}", f"{np.median(times) * 1e3:.2f}", f"{sigma:.2g}")
        )
    return Section(
        "statistic",
        "What is kept, and what forgetting costs, do not grow with n",
        "A_sc keeps the Hessian, p² numbers; Ā_sc needs it, the weights and the rows to forget.",
        f"The published algorithms on {m} deletions at p = {p}: the same bytes, and the same time to unlearn, for every n.",
        [Table(("n", "bytes of T(S)", "seconds to learn", "ms to unlearn", "σ"), rows)],
    )


def linear_models() -> Section:
    """Deletion capacity of logistic regression against p: computed and measured."""
    n, ridge, ps = 200_000, 0.05, (8, 32, 128, 256)
    sigma = sigma_from_excess_risk(EXCESS_RISK, LOSS.curvature_trace_bound, 1.0)
    capacities: dict[str, list[int]] = {name: [] for name in LINES}
    for p in ps:
        for name, method in (("Newton", "newton"), ("DP", "dp"), ("linear model", "linear_model")):
            capacity = deletion_capacity(
                p=p,
                n=n,
                epsilon=EPSILON,
                delta=DELTA,
                strong_convexity=ridge,
                lipschitz=2.0,  # 1 from the loss, and λ|w| ≤ 1 at any optimum
                hessian_lipschitz=LOSS.third_derivative_bound,
                smoothness=LOSS.curvature_bound + ridge,
                method=cast(Method, method),
            )
            capacities[name].append(int(capacity))
        rng = np.random.default_rng(p)
        X, y = unit_rows(n + 5000, p, rng)
        model = LogisticRegression(C=1.0 / (ridge * n), fit_intercept=False, delta=DELTA, sigma=sigma, order=2).fit(
            X[:n], y[:n]
        )
        capacities["certified"].append(_certified_by_statistics(model, Rows.of(X[:n], y[:n]), rng))
        measured = empirical_capacity(model, (X[n:], y[n:]), learned=(X[:n], y[:n]), adversary="influence", gamma=GAMMA)
        capacities["harmless"].append(measured.capacity)
    figure, axis = new_figure()
    for name, (label, style, colour) in LINES.items():
        axis.loglog(ps, np.maximum(capacities[name], 0.5), style, color=COLOURS[colour], label=label)
    axis.set(xlabel="parameters p", ylabel="deletion capacity", ylim=(0.4, n))
    axis.set_title(f"Logistic regression, n = {n:,}, λ = {ridge}, ε = 1, γ = {GAMMA}")
    axis.legend(frameon=False, fontsize=7)
    certified, harmless = capacities["certified"], capacities["harmless"]
    return Section(
        "linear-models",
        "In linear models the capacity does not fall with p",
        r"Noise on a linear predictor costs at most $\tfrac12\beta\sigma^2R^2$ whatever $p$ is (theory §5.3), so that the "
        "capacity loses the $p^{1/4}$.",
        f"From p = {ps[0]} to {ps[-1]} the rows at random whose deletion the statistics alone certify go from {certified[0]:,} "
        f"to {certified[-1]:,}, and those that an adversary may choose within γ = {GAMMA} from {harmless[0]:,} to "
        f"{harmless[-1]:,}. By constants alone it is {max(capacities['linear model'])} at most, and by differential privacy "
        f"{max(capacities['DP'])} (none is drawn at ½).",
        [Table(("p", *LINES), [(f"{p}", *(f"{capacities[name][i]:,}" for name in LINES)) for i, p in enumerate(ps)])],
        figure,
        "Deletion capacity of logistic regression against p: computed and measured",
    )


def _certified_by_statistics(model: LogisticRegression, rows: Rows, rng: np.random.Generator) -> int:
    state, order = require_hessian(secret_of(model.unlearner_).state), rng.permutation(len(rows))
    settings = model.unlearner_.settings
    sigma = model.unlearner_.release.certificate.scale
    allowed = sigma * settings.guarantee.mu - grid_rounding(len(state.anchor), sigma)
    low, high = 0, len(rows)
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        removed = state.removed(rows.take(order[:middle])).settled().tightened()
        low, high = (middle, high) if from_statistics(removed).distance_bound <= allowed else (low, middle)
    return low


def population_risk(data: Path) -> Section:
    """Excess held-out risk against m, four methods, two adversaries, four data sets."""
    studies = [study for name in STUDIES if (study := load_study(name, data)) is not None]
    figure, axes = new_figure((2, len(studies)), (3.2 * len(studies) + 0.6, 6.0))
    axes = np.asarray(axes).reshape(2, len(studies))
    rows, left_out = [], [name for name in STUDIES if name not in {study.name for study in studies}]
    for column, study in enumerate(studies):
        for row, adversary in enumerate(("random", "influence")):
            axis = axes[row, column]
            curves: dict[str, list[tuple[int, float]]] = {}
            for m, method, excess in _risks(study, adversary):
                curves.setdefault(method, []).append((m, excess))
            for (method, points), colour in zip(curves.items(), ("exact", "ours", "paper", "dp"), strict=True):
                axis.loglog(*np.maximum(np.array(points).T, 1e-6), ".-", color=COLOURS[colour], label=method)
                within = [m for m, excess in points if excess <= GAMMA]
                rows.append(
                    (
                        study.name,
                        adversary,
                        method,
                        f"{max(within, default=0):,}",
                        f"{points[0][1]:.2g}",
                        f"{points[-1][1]:.2g}",
                    )
                )
            axis.axhline(GAMMA, color="#999999", linewidth=0.8)
            axis.set_title(f"{study.name}, {adversary}", fontsize=9)
            axis.set_xlabel("deletions m", fontsize=8)
    axes[0, 0].set_ylabel("excess held-out log-loss", fontsize=8)
    axes[1, 0].set_ylabel("excess held-out log-loss", fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    missing = f" Left out, for want of their files: {', '.join(left_out)}." if left_out else ""
    return Section(
        "population-risk",
        "Population risk against the number of deletions",
        "What counts is the risk on rows that were not learned; a Newton step with little noise keeps it, differential privacy "
        "does not.",
        f"With the certificate from the statistics and noise fixed beforehand (σ²R²/8 = {EXCESS_RISK}) the risk is that of "
        "retraining and the noise's share. The paper's constants and differential privacy ask for noise that leaves no model "
        f"at all at C = 1: these bounds hold, but are of no use there. The grey line is γ = {GAMMA}.{missing}",
        [Table(("data", "who goes", "method", "last m within γ", "excess at the first m", "at the last m"), rows)],
        figure,
        "Excess held-out log-loss against the number of deletions, four methods",
    )


def _risks(study: Study, adversary: Any) -> Iterator[tuple[int, str, float]]:
    """(m, method, excess held-out risk). The intercept is a penalised column, as the paper's constants need it."""
    X, X_test = (np.hstack([part, np.ones((len(part), 1))]) for part in (study.X, study.X_test))
    rows, holdout, engine = Rows.of(X, study.y), Rows.of(X_test, study.y_test), LocalEngine()
    objective = Objective(LOSS, X.shape[1], 1.0, fit_intercept=False)
    row_norm, n = 2.0**0.5, len(rows)
    sigma = sigma_from_excess_risk(EXCESS_RISK, LOSS.curvature_trace_bound, row_norm)
    guarantee = Guarantee(EPSILON, DELTA)
    model = Unlearner.learn_from(
        objective, rows, Settings(guarantee, sigma, order=2), noise=lambda weights, _sigma: weights.copy()
    )
    state, rng = require_hessian(secret_of(model).state), np.random.default_rng(0)
    order = deletion_order(adversary, state, rows, holdout, rng)
    risk, lengths = HeldOutRisk(objective, holdout, state.anchor, rng), row_norms(objective, holdout)
    setting = Setting(p=X.shape[1], n=n, epsilon=EPSILON, delta=DELTA, lipschitz=2.0 * row_norm, strong_convexity=1.0 / n)
    for m in (1, 10, 100, 1000, 10_000):
        if 2 * m > n:
            break
        forgotten, remaining = rows.take(order[:m]), rows.take(order[m:])
        twin = model.twin(lambda weights, _sigma: weights.copy())
        ours = twin.forget(Rows(forgotten.X, forgotten.y, ids=range(m)), remaining).weights
        exact = DenseState.fitted(objective, remaining, engine, ours).point
        step = state.removed(forgotten).settled()
        constants = {"count": n, "changed": m, "strong_convexity": 1.0, "lipschitz": setting.lipschitz, "gradient": 0.0}
        newton = setting.paper_factor * sekhari2021(hessian_lipschitz=LOSS.third_derivative_bound * row_norm**3, **constants)
        dp = setting.paper_factor * m * setting.lipschitz
        yield m, "retrained, no noise", risk.excess(exact, 0.0 * lengths)[0]
        yield m, "Expunge: certified, σ fixed beforehand", risk.excess(ours, sigma * lengths)[0]
        yield m, "Newton step, the paper's constants", risk.excess(step.point, newton * lengths)[0]
        yield m, "differential privacy, the same factor", risk.excess(state.anchor, dp * lengths)[0]


def training_and_population() -> Section:
    """Training loss falls and population risk rises when an adversary chooses."""
    figure, (left, right) = new_figure((1, 2), (9.0, 3.8))
    rng = np.random.default_rng(0)
    n, p = 20_000, 10
    Z = rng.standard_normal((n, p))
    order = np.argsort(-Z[:, 0])
    mean_curve = []
    for m in range(0, n // 4 + 1, n // 20):
        estimator = MeanEstimator().fit(Z)
        centre = (estimator.forget(Z[order[:m]]) if m else estimator).mean_
        training = 0.5 * float(((Z[order[m:]] - centre) ** 2).sum(axis=1).mean())
        mean_curve.append((m, training, 0.5 * (float(centre @ centre) + p)))  # E½|w − z|² for z ~ N(0, I)
    study = load_study("census", Path())
    assert study is not None
    rows, holdout, engine = Rows.of(study.X, study.y), Rows.of(study.X_test, study.y_test), LocalEngine()
    objective = Objective(LOSS, study.X.shape[1], 1.0)
    state = DenseState.fitted(objective, rows, engine)
    order = deletion_order("influence", state, rows, holdout, rng)
    logistic_curve = []
    for m in range(0, 3001, 500):
        remaining = rows.take(order[m:])
        weights = DenseState.fitted(objective, remaining, engine, state.anchor).point
        losses = [
            float(LOSS.value(objective.predictor(weights, objective.features(part)), part.y).mean())
            for part in (remaining, holdout)
        ]
        logistic_curve.append((m, *losses))
    changes = [np.subtract(curve[-1], curve[0])[1:] for curve in (mean_curve, logistic_curve)]
    for axis, curve, title in ((left, mean_curve, "mean of N(0, I₁₀)"), (right, logistic_curve, "logistic regression, census")):
        ms, training, population = np.array(curve).T
        axis.plot(ms, training - training[0], "o-", color=COLOURS["paper"], label="training loss")
        axis.plot(ms, population - population[0], "s-", color=COLOURS["dp"], label="population risk")
        axis.axhline(0.0, color="#999999", linewidth=0.8)
        axis.set(xlabel="deletions m", ylabel="change", title=title)
        axis.legend(frameon=False, fontsize=8)
    return Section(
        "training-and-population",
        "Exact on the training loss, and yet worse on the population",
        "Deletions chosen by an adversary move the population risk even where the training loss is minimised exactly.",
        f"After {mean_curve[-1][0]:,} of {n:,} deletions the mean's training loss changed by {changes[0][0]:+.3f} and its "
        f"population risk by {changes[0][1]:+.3f}; after {logistic_curve[-1][0]:,} on the census the training loss by "
        f"{changes[1][0]:+.4f} and the held-out loss by {changes[1][1]:+.4f}.",
        figure=figure,
        caption="Training loss and population risk against the number of adversarial deletions",
    )


def ceiling() -> Section:
    """No method forgets more than a share of the rows: the Bernoulli mean."""
    n, rng = 100_000, np.random.default_rng(0)
    shares = []
    for _ in range(5):
        z = (rng.random((n, 1)) < 0.5).astype(np.float64)
        ones, learned = z[z[:, 0] == 1.0], MeanEstimator().fit(z)
        low, high = 0, len(ones)
        while high - low > 1:
            m = (low + high) // 2
            excess = 0.5 * float(copy(learned).forget(ones[:m]).mean_[0] - 0.5) ** 2
            low, high = (m, high) if excess <= GAMMA else (low, m)
        shares.append(low / n)
    root = (2.0 * GAMMA) ** 0.5
    exact = 2.0 * root / (1.0 + 2.0 * root)
    return Section(
        "ceiling",
        "The ceiling: no method forgets more than a share of the rows",
        f"Deleting m ones from n Bernoulli(½) draws moves the exact mean by m/(2(n−m)): within γ = {GAMMA} only for "
        f"m ≤ {exact:.4f}·n.",
        f"Found by deleting, in five draws of n = {n:,}: {min(shares):.4f} to {max(shares):.4f}·n, on average "
        f"{np.mean(shares):.4f}·n.",
    )


def all_sections(data: Path) -> Sequence[Any]:
    """The sections of this file, as functions still to be called."""
    return (statistic, linear_models, lambda: population_risk(data), training_and_population, ceiling)
