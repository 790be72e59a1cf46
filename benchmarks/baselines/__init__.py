"""What one would do instead, behind one small protocol: ``fit``, ``forget``, ``weights``, ``claims``. Theory §3, §4.2."""

from benchmarks.baselines.base import Baseline, Claims
from benchmarks.baselines.certified_removal import CertifiedRemoval
from benchmarks.baselines.descent_to_delete import DescentToDelete
from benchmarks.baselines.influence import InfluenceFunction
from benchmarks.baselines.output_perturbation import OutputPerturbation
from benchmarks.baselines.projective import ProjectiveResidualUpdate
from benchmarks.baselines.retrain import RetrainCold, RetrainWarm
from benchmarks.baselines.sisa import Sisa
from benchmarks.baselines.stored_vectors import StoredVectors

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
