"""What follows from constants: capacity against p, ε and n, the convex reduction, sample complexity. Theory §2, §3."""

from typing import Any

import numpy as np

from expunge.audit.figures import COLOURS, new_figure
from expunge.paper.capacity import Method, Setting, deletion_capacity, sample_complexity
from expunge.paper.reproduce.page import Section, Table

CONSTANTS: dict[str, Any] = {"delta": 1e-5, "lipschitz": 1.0, "hessian_lipschitz": 1.0, "smoothness": 1.0}
"""L = M = 1, δ = 10⁻⁵; the sections vary the rest."""
METHODS: dict[Method, tuple[str, str]] = {
    "newton": ("Newton step (the paper)", COLOURS["paper"]),
    "worst_case": ("Newton step, exact Gaussian factor", COLOURS["other"]),
    "dp": ("differential privacy alone", COLOURS["dp"]),
    "linear_model": ("Newton step, linear model", COLOURS["ours"]),
}


def slope(xs: Any, ys: Any) -> float:
    """The slope of a straight line through the points in log-log axes."""
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


def against_p() -> Section:
    """Capacity against the number of parameters."""
    n, strong_convexity = 10**9, 0.05
    ps = np.unique(np.geomspace(10, 10**8, 29).astype(int))
    figure, axis = new_figure()
    slopes = {}
    for method, (label, colour) in METHODS.items():
        capacities = np.array(
            [
                int(
                    deletion_capacity(p=int(p), n=n, epsilon=1.0, strong_convexity=strong_convexity, method=method, **CONSTANTS)
                )
                for p in ps
            ]
        )
        setting = {"n": n, "epsilon": 1.0, "strong_convexity": strong_convexity, **CONSTANTS}
        binds = np.array(
            [_noise_share(Setting(p=int(p), **setting), int(m), method) > 0.95 for p, m in zip(ps, capacities, strict=True)]
        )
        slopes[method] = slope(ps[binds], capacities[binds]) if binds.sum() > 2 else slope(ps, capacities)
        axis.loglog(ps, capacities, color=colour, label=f"{label}: slope {slopes[method]:+.3f}")
    axis.set(xlabel="parameters p", ylabel="deletion capacity", title=f"n = 10⁹, λ = {strong_convexity}, ε = 1, γ = 0.01")
    axis.legend(frameon=False, fontsize=8)
    return Section(
        "capacity-against-p",
        "Deletion capacity against the number of parameters",
        r"The Newton step forgets $n\sqrt\varepsilon/(p\ln(1/\delta))^{1/4}$ rows, differential privacy alone "
        r"$n\varepsilon/\sqrt{p\ln(1/\delta)}$: $p^{1/4}$ fewer. In a linear model the noise costs the same whatever $p$ is "
        "(theory §5.3), and the $p^{1/4}$ goes.",
        "Where the noise binds (over 95 % of what deletions add to the bound), the fitted slopes are "
        f"{slopes['newton']:+.3f} for the Newton step (−1/4 claimed), {slopes['dp']:+.3f} for differential privacy (−1/2 "
        f"claimed) and {slopes['linear_model']:+.3f} for linear models (0 claimed).",
        figure=figure,
        caption="Deletion capacity against p, log-log, with fitted slopes",
    )


def _noise_share(setting: Setting, m: int, method: Method) -> float:
    """The part of what deletions add to the bound that is the noise's."""
    whole = setting.excess_risk_bound(m, method) - setting.excess_risk_bound(0, method)
    without = 0.0 if method == "dp" else setting.excess_risk_bound(m, "exact") - setting.excess_risk_bound(0, "exact")
    return 1.0 - without / whole if whole > 0 else 0.0


def against_epsilon_and_n() -> Section:
    """Capacity against ε and against n."""
    figure, (left, right) = new_figure((1, 2), (9.0, 4.0))
    common = {"p": 10**6, "strong_convexity": 0.05, **CONSTANTS}
    epsilons = np.geomspace(1e-3, 1.0, 13)
    ns = np.geomspace(10**9, 10**14, 16).astype(np.int64)
    slopes = {}
    for method, (label, colour) in METHODS.items():
        by_epsilon = [int(deletion_capacity(n=10**12, epsilon=float(e), method=method, **common)) for e in epsilons]
        by_n = [int(deletion_capacity(n=int(n), epsilon=1.0, method=method, **common)) for n in ns]
        slopes[method] = slope(epsilons, by_epsilon), slope(ns, by_n)
        left.loglog(epsilons, by_epsilon, color=colour, label=f"{label}: {slopes[method][0]:+.2f}")
        right.loglog(ns, by_n, color=colour, label=f"{label}: {slopes[method][1]:+.2f}")
    left.set(xlabel="ε", ylabel="deletion capacity", title="p = 10⁶, n = 10¹²")
    right.set(xlabel="rows n", title="p = 10⁶, ε = 1")
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=7)
    return Section(
        "capacity-against-epsilon-and-n",
        "Deletion capacity against ε and n",
        r"Capacity grows as $\sqrt\varepsilon$ for the Newton step and as $\varepsilon$ for differential privacy, "
        "and as $n$ for both.",
        f"Fitted slopes in ε: {slopes['newton'][0]:+.2f} and {slopes['dp'][0]:+.2f}; in n: {slopes['newton'][1]:+.2f} and "
        f"{slopes['dp'][1]:+.2f}.",
        figure=figure,
        caption="Deletion capacity against ε and against n, log-log, with fitted slopes",
    )


def convex_reduction() -> Section:
    """The ridge term's strength: the best against the closed form."""
    rows = []
    gains = []
    for n in (10**6, 10**8, 10**10):
        setting = Setting(p=100, n=n, epsilon=1.0, radius=1.0, **CONSTANTS)
        m = max(1, int(deletion_capacity(p=100, n=n, epsilon=1.0, radius=1.0, **CONSTANTS)))
        best = setting.excess_risk_bound(m, "newton")
        closed = setting.excess_risk_bound_at(m, "newton", setting.balanced_ridge(m))
        gains.append(closed / best)
        ridges = [f"{ridge:.2e}" for ridge in (setting.balanced_ridge(m), setting.best_ridge(m, "newton"))]
        rows.append(
            (f"10^{round(np.log10(n))}", f"{m:,}", ridges[0], f"{closed:.2e}", ridges[1], f"{best:.2e}", f"{gains[-1]:.2f}")
        )
    return Section(
        "convex-reduction",
        "Convex losses, through a ridge term",
        r"A convex loss is made strongly convex by $\tfrac12\lambda|w|^2$; the paper gives $\lambda$ in closed form.",
        f"Minimising the whole bound over λ is {min(gains):.2f} to {max(gains):.2f} times better than the closed form, at "
        "B = 1, p = 100, and never worse: every term is a sum of exponentials in ln λ, so that there is one minimum.",
        [Table(("n", "m", "λ, closed form", "risk bound", "λ, best", "risk bound", "gain"), rows)],
    )


def samples() -> Section:
    """How many rows learning needs."""
    rows = []
    for gamma in (0.1, 0.01, 0.001):
        needed = [sample_complexity(gamma=gamma, lipschitz=1.0, strong_convexity=convexity) for convexity in (1.0, 0.1, 0.01)]
        needed.append(sample_complexity(gamma=gamma, lipschitz=1.0, radius=1.0))
        rows.append((f"{gamma:g}", *(f"{n:,}" for n in needed)))
    return Section(
        "sample-complexity",
        "Sample complexity",
        r"$4L^2/(\lambda\gamma)$ rows suffice in the strongly convex case and $O(B^2L^2/\gamma^2)$ in the convex one, "
        "whatever $p$ is.",
        "The table holds for every p; no p enters the bound. L = 1, B = 1.",
        [Table(("γ", "λ = 1", "λ = 0.1", "λ = 0.01", "convex"), rows)],
    )
