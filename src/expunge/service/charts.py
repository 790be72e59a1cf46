"""Charts as numbers for inline SVG: the timeline of a model's releases, the trade-off of errors of an audit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import ndtr, ndtri

from expunge.ledger.batches import BatchKind
from expunge.ledger.releases import Listed
from expunge.unlearning.rung import Rung
from expunge.workspace.days import day

SQUARE = 260
"""Width and height of the picture of an audit."""
FITS = (BatchKind.FIT, BatchKind.REPLACE)
"""What makes a new model, which is no refit."""
PLOT = 360.0, 200.0
"""Width and height of the timeline of a model, in units of its picture."""


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
        if release.figures.rung == Rung.REFIT and release.kind not in FITS:
            refits.append(round(x + across / 2, 1))
    ticks = [{"y": round(bottom - (bottom - top) * part, 1), "text": f"{part:.0%}"} for part in (0.0, 0.5, 1.0)]
    ends = [(left, "start", releases[0]), (right, "end", releases[-1])][: len(releases)]
    days = [{"x": x, "anchor": anchor, "text": f"{row.number}, {day(row.at)}"} for x, anchor, row in ends]
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
