"""Charts as numbers for inline SVG: budget gauges, timelines of releases, trade-off curves."""

import math
from collections.abc import Sequence
from typing import Any

from scipy.special import ndtr, ndtri

from expunge.ledger.figures import Figures
from expunge.unlearning.rung import Rung

WIDTH, HEIGHT = 320, 90
SQUARE = 260


def gauges(figures: Figures) -> list[dict[str, Any]]:
    """Shares used: of the allowed certified distance, and of the budget."""
    from expunge.privacy import Guarantee

    total = figures.mu_total
    if math.isinf(figures.epsilon):
        return []
    mu = Guarantee(figures.epsilon, figures.delta).mu
    left = math.sqrt(max(0.0, mu**2 - total**2 + figures.mu**2))
    shares = {
        "certified distance, as a share of that allowed": figures.mu / left if left else 1.0,
        "budget spent": (total / mu) ** 2,
    }
    return [{"name": name, "percent": round(100 * min(1.0, share), 1)} for name, share in shares.items()]


def timeline(releases: Sequence[Figures]) -> dict[str, Any]:
    """Cumulative ε over releases, as steps: ``points`` for a polyline, and a mark for every refit."""
    values = [min(release.epsilon_total, 1e6) for release in releases]
    asked = releases[-1].epsilon
    highest = max(1.0 if math.isinf(asked) else asked, *values, 1e-9)
    across = WIDTH / max(1, len(releases))
    points, refits = [], []
    for i, (release, value) in enumerate(zip(releases, values, strict=True)):
        y = HEIGHT - (HEIGHT - 10) * value / highest
        points += [f"{i * across:.1f},{y:.1f}", f"{(i + 1) * across:.1f},{y:.1f}"]
        if release.rung == Rung.REFIT:
            refits.append(round((i + 0.5) * across, 1))
    text = f"cumulative ε over {len(releases)} releases, now {values[-1]:.2g} of {highest:.2g}; {len(refits)} refits"
    return {"points": " ".join(points), "refits": refits, "width": WIDTH, "height": HEIGHT, "text": text}


def trade_off(mu: float, curve: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The trade-off of errors: certified as a polyline, measured as points."""
    steps = [i / 60 for i in range(61)]
    certified = [(alpha, float(ndtr(-ndtri(alpha) - mu))) for alpha in steps]
    return {
        "size": SQUARE,
        "certified": " ".join(f"{x},{y}" for x, y in map(_placed, certified)),
        "measured": list(map(_placed, curve)),
    }


def _placed(errors: Sequence[float]) -> tuple[float, float]:
    return round(SQUARE * errors[0], 1), round(SQUARE * (1.0 - errors[1]), 1)
