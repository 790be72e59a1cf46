"""Deletion capacity and sample complexity: how many may be forgotten before the model is worse by γ. Theory §2, §3."""

from expunge.paper.capacity.computed import Capacity, Method, Setting, deletion_capacity, sample_complexity
from expunge.paper.capacity.measured import EmpiricalCapacity, HeldOutRisk, RiskPoint, empirical_capacity

__all__ = [
    "Capacity",
    "EmpiricalCapacity",
    "HeldOutRisk",
    "Method",
    "RiskPoint",
    "Setting",
    "deletion_capacity",
    "empirical_capacity",
    "sample_complexity",
]
