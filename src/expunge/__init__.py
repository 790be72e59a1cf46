"""Expunge: convex models that forget people on request, and prove it.

The estimators are in ``expunge.linear_model``; what is here is the core they stand on, without scikit-learn. Its parts are
loaded when they are first used, so that checking evidence needs no numerical library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expunge.errors import (
        AnchorMismatch,
        BudgetSpent,
        CapacityExceeded,
        ExpungeError,
        InvalidRows,
        ModelCopied,
        ModelCopyWarning,
        NoiseDrownsModel,
        NoiseTooLarge,
        NoOptimum,
        NotLearned,
        StateCorrupt,
    )
    from expunge.numerics.statistics import Statistics
    from expunge.privacy import Guarantee, PrivacyBudget, Schedule
    from expunge.problem.objective import Objective
    from expunge.problem.rows import Rows, RowSource
    from expunge.unlearning.certificate import Certificate
    from expunge.unlearning.release import Release
    from expunge.unlearning.settings import Settings
    from expunge.unlearning.unlearner import Unlearner

__all__ = [
    "AnchorMismatch",
    "BudgetSpent",
    "CapacityExceeded",
    "Certificate",
    "ExpungeError",
    "Guarantee",
    "InvalidRows",
    "ModelCopied",
    "ModelCopyWarning",
    "NoOptimum",
    "NoiseDrownsModel",
    "NoiseTooLarge",
    "NotLearned",
    "Objective",
    "PrivacyBudget",
    "Release",
    "RowSource",
    "Rows",
    "Schedule",
    "Settings",
    "StateCorrupt",
    "Statistics",
    "Unlearner",
]

_ROOMS = (
    "errors",
    "privacy",
    "problem.objective",
    "problem.rows",
    "numerics.statistics",
    "unlearning.certificate",
    "unlearning.release",
    "unlearning.settings",
    "unlearning.unlearner",
)
"""Where the names are."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for room in _ROOMS:
            found = getattr(import_module(f"expunge.{room}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
