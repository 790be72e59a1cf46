"""Scores of predicted times, some of which were cut off before the event: concordance, and the Brier score at a time."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST = 4_000
"""Rows of which every pair is compared, the first ones."""


def concordance(risk: Array, times: Array, came: NDArray[np.bool_], weight: Array) -> float:
    """Harrell's index: of all pairs in which one is known to come first, the share in which it has the higher risk; equal risks
    count half. ½ where there is no such pair.

    Args:
        risk: the higher, the sooner, ``(n_rows,)``.
        times: of the event, or last seen without it, ``(n_rows,)``.
        came: whether the event came, ``(n_rows,)``.
        weight: of the rows, ``(n_rows,)``.

    Examples:
        >>> concordance(np.array([3.0, 2.0, 2.0]), np.array([1.0, 2.0, 4.0]), np.array([True, True, False]), np.ones(3))
        0.8333333333333334
    """
    first, other = np.flatnonzero(came[:MOST]), slice(0, MOST)
    known = (times[other] > times[first, None]) * weight[other] * weight[first, None]
    right = 0.5 * (1.0 + np.sign(risk[first, None] - risk[other]))
    return float((known * right).sum() / known.sum()) if known.any() else 0.5


def kaplan_meier(times: Array, came: NDArray[np.bool_], weight: Array, at: Array, *, before: bool = False) -> Array:
    """The share for whom the event has not come by each time, as Kaplan and Meier estimate it, of the same shape as ``at``.

    Args:
        times: of the event, or last seen without it, ``(n_rows,)``.
        came: whether the event came, ``(n_rows,)``.
        weight: of the rows, ``(n_rows,)``.
        at: times.
        before: leaves out events at the very time.

    Examples:
        >>> times, came = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, True])
        >>> kaplan_meier(times, came, np.ones(4), np.array([0.5, 1.0, 3.0])).tolist()
        [1.0, 0.75, 0.375]
    """
    moments, at_risk, events = _moments(times, came, weight)
    left = np.concatenate([[1.0], np.cumprod(1.0 - events / at_risk)])
    return np.asarray(left[np.searchsorted(moments, at, "left" if before else "right")])


def lasting(times: Array, came: NDArray[np.bool_], weight: Array, at: float) -> tuple[float, float]:
    """The share for whom the event has not come by ``at``, and Greenwood's standard error of it.

    Args:
        times: of the event, or last seen without it, ``(n_rows,)``.
        came: whether the event came, ``(n_rows,)``.
        weight: of the rows, ``(n_rows,)``.
        at: the time.
    """
    share = float(kaplan_meier(times, came, weight, np.array([at]))[0])
    moments, at_risk, events = _moments(times, came, weight)
    until, rest = moments <= at, np.maximum(at_risk - events, np.finfo(float).tiny)
    return share, share * float(np.sqrt(np.sum(np.where(until & (events < at_risk), events / (at_risk * rest), 0.0))))


def brier(lasts: Array, times: Array, came: NDArray[np.bool_], weight: Array, at: float) -> float:
    """The mean squared error of the probabilities that the event has not come by ``at``, with those cut off before then made
    up for by the others (Graf and others 1999).

    Args:
        lasts: the probabilities, ``(n_rows,)``.
        times: of the event, or last seen without it, ``(n_rows,)``.
        came: whether the event came, ``(n_rows,)``.
        weight: of the rows, ``(n_rows,)``.
        at: a time that somebody was seen beyond.

    Examples:
        >>> brier(np.array([0.0, 0.5, 1.0]), np.array([1.0, 2.0, 4.0]), np.array([True, True, True]), np.ones(3), 3.0)
        0.08333333333333333
    """
    beyond = times > at
    still = kaplan_meier(times, ~came, weight, np.array([at]))[0]  # of those who are not cut off
    seen = np.where(beyond, still, kaplan_meier(times, ~came, weight, times, before=True))
    known = beyond | came
    errors = np.where(beyond, 1.0 - lasts, lasts) ** 2
    return float(np.average(np.where(known, errors / np.where(known, seen, 1.0), 0.0), weights=weight))


def _moments(times: Array, came: NDArray[np.bool_], weight: Array) -> tuple[Array, Array, Array]:
    """The different times, rising; the weight of those who were still there then; and that of those to whom the event came."""
    moments, places = np.unique(times, return_inverse=True)
    leaving, coming = (np.asarray(np.bincount(places, each), dtype=np.float64) for each in (weight, weight * came))
    return moments, np.cumsum(leaving[::-1])[::-1], coming
