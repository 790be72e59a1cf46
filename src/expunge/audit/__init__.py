"""Audits that trust nothing of what they audit, and what they find as verdicts and figures. Theory §7."""

from expunge.audit.distinguishing import Mechanism, TradeOff, black_box, membership, sequence
from expunge.audit.reconstruction import Reconstruction, reconstruction
from expunge.audit.retraining import AuditedRelease, ExactAudit, exact, rehearsal

__all__ = [
    "AuditedRelease",
    "ExactAudit",
    "Mechanism",
    "Reconstruction",
    "TradeOff",
    "black_box",
    "exact",
    "membership",
    "reconstruction",
    "rehearsal",
    "sequence",
]
