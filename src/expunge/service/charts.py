"""Charts as numbers for inline SVG: budget gauges, timelines of releases, trade-off curves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import ndtr, ndtri

from expunge.ledger.figures import Figures
from expunge.ledger.releases import Listed
from expunge.unlearning.rung import Rung

WIDTH, HEIGHT = 320, 90
SQUARE = 260
PLOT = 360.0, 200.0
"""Width and height of the timeline of a model, in units of its picture."""


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


def spending(releases: Sequence[Listed]) -> dict[str, Any]:
    """How much of what is promised was spent after each release: steps, axes with their ticks, and a mark for every refit."""
    left, right, top, bottom = 44.0, PLOT[0] - 10.0, 14.0, PLOT[1] - 40.0
    promised = releases[-1].figures.epsilon
    whole = 1.0 if math.isinf(promised) else promised
    shares = [min(1.0, release.figures.epsilon_total / whole) for release in releases]
    across = (right - left) / len(releases)
    steps, refits = [], []
    for i, (release, share) in enumerate(zip(releases, shares, strict=True)):
        x, y = left + i * across, bottom - (bottom - top) * share
        steps += [f"{x:.1f},{y:.1f}", f"{x + across:.1f},{y:.1f}"]
        if release.figures.rung == Rung.REFIT:
            refits.append(round(x + across / 2, 1))
    ticks = [{"y": round(bottom - (bottom - top) * part, 1), "text": f"{part:.0%}"} for part in (0.0, 0.5, 1.0)]
    ends = [(left, "start", releases[0]), (right, "end", releases[-1])][2 - min(2, len(releases)) :]
    days = [{"x": x, "anchor": anchor, "text": f"{row.number}, {row.at[:10]}"} for x, anchor, row in ends]
    number = f"{len(releases)} release{'s' if len(releases) > 1 else ''}"
    text = f"{number}, {len(refits)} of them refits; {shares[-1]:.0%} of what is promised is spent now"
    box = {"left": left, "right": right, "top": top, "bottom": bottom, "width": PLOT[0], "height": PLOT[1]}
    return {**box, "steps": " ".join(steps), "refits": refits, "ticks": ticks, "days": days, "text": text}


def trade_off(found: Mapping[str, Any]) -> dict[str, Any]:
    """The trade-off of errors of an audit: the certified line, the measured errors with their band, and the bound that counts.

    Args:
        found: ``black_box`` of a verdict, as JSON.
    """
    mu, curve = float(found["certified_mu"]), found["curve"]
    steps = [i / 60 for i in range(61)]
    certified = [(alpha, float(ndtr(-ndtri(alpha) - mu))) for alpha in steps]
    around = float(found["band"])
    upper = [(min(1.0, x + around), min(1.0, y + around)) for x, y in curve]
    lower = [(max(0.0, x - around), max(0.0, y - around)) for x, y in curve]
    return {
        "size": SQUARE,
        "certified": _points(certified),
        "band": _points([*upper, *lower[::-1]]),
        "measured": list(map(_placed, curve)),
        "bound": _placed((found["false_positives_bound"], found["false_negatives_bound"])),
        "confidence": f"{found['confidence']:.0%}",
        "draws": f"{found['n_draws']:,}",
    }


def _points(errors: Sequence[Sequence[float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in map(_placed, errors))


def _placed(errors: Sequence[float]) -> tuple[float, float]:
    return round(SQUARE * errors[0], 1), round(SQUARE * (1.0 - errors[1]), 1)
