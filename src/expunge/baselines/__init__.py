"""What one would do instead, behind one small protocol: ``fit``, ``forget``, ``weights``, ``claims``. Theory §3, §4.2."""

from expunge.baselines.base import Baseline, Claims
from expunge.baselines.certified_removal import CertifiedRemoval
from expunge.baselines.descent_to_delete import DescentToDelete
from expunge.baselines.influence import InfluenceFunction
from expunge.baselines.output_perturbation import OutputPerturbation
from expunge.baselines.projective import ProjectiveResidualUpdate
from expunge.baselines.retrain import RetrainCold, RetrainWarm
from expunge.baselines.sisa import Sisa
from expunge.baselines.stored_vectors import StoredVectors

__all__ = [
    "Baseline",
    "CertifiedRemoval",
    "Claims",
    "DescentToDelete",
    "InfluenceFunction",
    "OutputPerturbation",
    "ProjectiveResidualUpdate",
    "RetrainCold",
    "RetrainWarm",
    "Sisa",
    "StoredVectors",
]
