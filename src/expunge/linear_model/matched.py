"""Conditional logit: matched sets of cases and controls as pairs. Theory §6."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.errors import InvalidRows
from expunge.linear_model.served import Array
from expunge.problem.rows import Rows


def matched_pairs(X: Any, y: Any, strata: Sequence[object]) -> tuple[Array, Array, list[object]]:
    """Every pair of a case and a control of one stratum, as a row of logistic regression without an intercept: the difference
    of their features, whether it is the case's less the control's, and the stratum.

    ``LogisticRegression(fit_intercept=False).fit(pairs, sides, subjects=owners)`` is then conditional logistic regression:
    exactly, where strata have one case and one control; else by the likelihoods of all pairs, which estimate the same weights.
    What is the same for all of a stratum drops out. **The stratum is what can be forgotten**: all its pairs together, by its
    id. To forget one person of a larger stratum, forget the stratum, and learn it again without her.

    Args:
        X: features, ``(n_rows, n_features)``, dense.
        y: 1 or true for a case, the alternative that was chosen; 0 for a control, ``(n_rows,)``.
        strata: to which matched set each row belongs, ``(n_rows,)``.

    Raises:
        InvalidRows: rows that cannot be, a target that is neither 0 nor 1, or no stratum with both a case and a control.

    Examples:
        >>> pairs, sides, owners = matched_pairs([[3.0], [1.0], [2.0], [5.0]], [1, 0, 0, 1], ["a", "a", "b", "b"])
        >>> pairs.tolist(), sides.tolist(), owners
        ([[2.0], [3.0]], [1.0, 1.0], ['a', 'b'])

    Source: theory §6.
    """
    rows = Rows.of(X, y, ids=strata)
    if ((rows.y != 0) & (rows.y != 1)).any():
        row = int(np.argmax((rows.y != 0) & (rows.y != 1)))
        raise InvalidRows(f"y of row {row} is {rows.y[row]:g}: it must be 1 for a case and 0 for a control")
    members: dict[object, list[int]] = {}
    for row, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(row)
    found = [
        (case, control, stratum)
        for stratum, own in members.items()
        for case in own
        for control in own
        if rows.y[case] == 1 and rows.y[control] == 0
    ]
    if not found:
        raise InvalidRows("no stratum holds both a case and a control: nothing can be learned by comparing them")
    cases, controls, owners = (list(each) for each in zip(*found, strict=True))
    differences = np.asarray(rows.X[cases] - rows.X[controls], dtype=np.float64)
    first = (differences != 0).argmax(axis=1)
    side = np.where(differences[np.arange(len(first)), first] < 0, -1.0, 1.0)  # of the pair alone; both sides are one loss
    return differences * side[:, None], np.where(side > 0, 1.0, 0.0), owners
