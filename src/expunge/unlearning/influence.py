"""Adversaries: who goes first, if somebody chooses the deletions to do the most harm. Theory §2.

Deletion capacity is about the worst choice of whom to forget. Finding that is combinatorial; each adversary here is a
rule that orders the rows, the most harmful first, from the state and the rows at hand.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.evaluation import Evaluation
from expunge.numerics.row_norms import row_norms
from expunge.problem.rows import Rows
from expunge.unlearning.state import State

Array = NDArray[np.float64]
Index = NDArray[np.intp]

Adversary = Literal["random", "influence", "gradient", "class", "clusters"]
ADVERSARIES: tuple[Adversary, ...] = get_args(Adversary)


def deletion_order(adversary: Adversary, state: State, rows: Rows, holdout: Rows, rng: np.random.Generator) -> Index:
    """Positions of ``rows`` in the order in which the adversary has them forgotten, ``(n_rows,)``.

    - ``random``: nobody chooses.
    - ``influence``: the rows whose going raises the held-out loss most, to first order.
    - ``gradient``: the rows with the largest gradient.
    - ``class``: the rarest class; in a regression the largest targets.
    - ``clusters``: the row of most influence, and then its neighbours.

    Args:
        adversary: the rule by which rows are chosen.
        rng: for the rules that draw; others leave it alone.
        state: at whose anchor gradients are taken.
        rows: learned rows, ``(n_rows, n_features)``.
        holdout: rows not learned, which stand for the population.

    Raises:
        ValueError: an unknown adversary.
    """
    shuffled = rng.permutation(len(rows))
    objective = state.objective
    match adversary:
        case "random":
            return shuffled
        case "influence":
            return np.argsort(-_influence(state, rows, holdout), kind="stable")
        case "gradient":
            at = Evaluation(objective, rows, state.anchor)
            slope = at.loss.derivative(at.t, rows.y).reshape(len(rows), -1)
            return np.argsort(-np.linalg.norm(slope, axis=1) * row_norms(objective, rows), kind="stable")
        case "class":
            if not objective.loss.classes:
                return np.argsort(-rows.y, kind="stable")
            rarest = np.argmin(np.bincount(rows.y.astype(np.intp), minlength=objective.loss.classes))
            return shuffled[np.argsort(rows.y[shuffled] != rarest, kind="stable")]
        case "clusters":
            design = objective.design(rows)
            centre = design[[int(np.argmax(_influence(state, rows, holdout)))]]
            across = np.asarray((design @ centre.T).todense() if hasattr(centre, "todense") else design @ centre.T)
            return np.argsort(row_norms(objective, rows) ** 2 - 2.0 * across.ravel(), kind="stable")
    raise ValueError(f"adversary must be one of {', '.join(ADVERSARIES)}, got {adversary!r}")


def displacements(state: State, rows: Rows, metric: Array | None = None) -> Array:
    """|H⁻¹∇ℓᵢ|, how far the model moves to first order when row i goes, ``(n_rows,)``: in the 2-norm, or in the metric of LLᵀ.

    Args:
        metric: L, ``(p, p)``.
    """
    moves = []
    for batch in rows.batches():
        at = Evaluation(state.objective, batch, state.anchor)
        slope = at.loss.derivative(at.t, batch.y).reshape(len(batch), -1)
        blocks = state.factor.inverse.reshape(-1, slope.shape[1], state.objective.width)
        design = state.objective.design(batch)
        move = sum(slope[:, [k]] * np.asarray(design @ blocks[:, k].T) for k in range(slope.shape[1]))
        moves.append(np.linalg.norm(move if metric is None else move @ metric, axis=1))
    return np.concatenate(moves)


def typical_displacement(state: State, metric: Array | None = None) -> float:
    """The root mean square of ``displacements`` over all rows, without them: in a likelihood Σ∇ℓ∇ℓᵀ is about the Hessian.

    Args:
        metric: L of the metric LLᵀ, ``(p, p)``; ``None`` for the 2-norm.
    """
    half = state.factor.inverse if metric is None else state.factor.inverse @ metric
    square = float(np.sum((state.statistics.hessian_sum @ half) * half)) / state.statistics.n_rows
    return float(np.sqrt(max(0.0, square)))


def _influence(state: State, rows: Rows, holdout: Rows) -> Array:
    """The first-order change of the held-out loss when row i goes: ∇F̂ᵀH⁻¹∇ℓᵢ, ``(n_rows,)``."""
    harmful = Evaluation(state.objective, holdout, state.anchor).gradient
    at = Evaluation(state.objective, rows, state.anchor)
    slope = at.loss.derivative(at.t, rows.y).reshape(len(rows), -1)
    moved = state.objective.predictor(state.factor.inverse @ harmful, state.objective.features(rows)).reshape(len(rows), -1)
    return np.asarray((slope * moved).sum(axis=1))
