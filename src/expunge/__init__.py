"""Expunge: convex models that forget people on request, and prove it.

The estimators are in ``expunge.linear_model``; what is here is the core they stand on, without scikit-learn.
"""

from expunge.certificate import Certificate
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
from expunge.objective import Objective
from expunge.privacy import Guarantee, PrivacyBudget, Schedule
from expunge.release import Release
from expunge.rows import Rows, RowSource
from expunge.settings import Settings
from expunge.statistics import Statistics
from expunge.unlearner import Unlearner

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
