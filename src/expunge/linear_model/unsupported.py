"""Arguments of scikit-learn that an estimator that forgets cannot have, and why. Theory §1, §4.3."""

from collections.abc import Iterable

_NOT_SMOOTH = (
    "an L1 penalty has a corner at 0: there is no second derivative from which the effect of a deletion could be bounded, and "
    "which weights are 0 can depend on one person; the penalty is L2, and C or alpha its strength"
)
_SOLVED = (
    "the optimum does not depend on a solver here: Newton's method finds it to rounding, as certificates need, and what is "
    "left of the gradient is measured and charged"
)
_ANCHORED = (
    "a fit that starts from an earlier one, or learns piece by piece, keeps something of rows that were forgotten since: use "
    "learn, forget and refit"
)
_ONE_OBJECTIVE = (
    "the classes of one model share one objective, and what a deletion does to it is certified as a whole: fit separate models "
    "with scikit-learn's OneVsRestClassifier"
)
_WRITTEN_OUT = "a bound on the weights puts the optimum at an edge, where its distance from that of other rows is not bounded"
REASONS = {
    "penalty": _NOT_SMOOTH,
    "l1_ratio": _NOT_SMOOTH,
    "solver": _SOLVED,
    "max_iter": _SOLVED,
    "tol": _SOLVED,
    "dual": _SOLVED,
    "solver_options": _SOLVED,
    "warm_start": _ANCHORED,
    "multi_class": _ONE_OBJECTIVE,
    "positive": _WRITTEN_OUT,
    "intercept_scaling": "the intercept is not penalised, so that there is nothing to scale",
    "link": "the link belongs to the loss, of which constants are proved; choose another estimator for another link",
    "loss": "each loss has an estimator of its own, with proved constants of its own",
    "early_stopping": "a fit that stops early depends on the order and on the split of the rows, which a deletion changes",
    "n_jobs": "threads are chosen for all models together, by the environment variable OMP_NUM_THREADS",
    "copy_X": "rows are never changed",
    "verbose": "nothing is printed",
}
"""By argument, why it is not there."""


def refuse(estimator: str, arguments: Iterable[str]) -> None:
    """Nothing, if none of the arguments is one of scikit-learn's that cannot be certified.

    Args:
        estimator: name of the class, for the message.
        arguments: names of keyword arguments that the estimator does not have.

    Raises:
        TypeError: one is; says why.
    """
    for name in arguments:
        if name in REASONS:
            raise TypeError(f"{estimator} takes no {name}: {REASONS[name]}")
