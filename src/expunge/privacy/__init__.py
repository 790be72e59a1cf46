"""The guarantee, the budget it is spent from, and the noise. Theory §2, §5."""

from expunge.privacy.budget import PrivacyBudget, Schedule
from expunge.privacy.guarantee import Guarantee

__all__ = ["Guarantee", "PrivacyBudget", "Schedule"]
