"""Certificate: what is claimed about a release, under which assumptions, and the evidence behind it. Theory §5.

Two views are told apart. ``public()`` may leave with the weights: it holds only what was fixed before any row was seen,
and the digest of the released weights. ``to_json()`` is evidence for whoever may see the data: the distance, the rung and
even the seconds depend on the rows, the forgotten ones included. Its digest may be published, because there is a salt in it.
"""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from expunge.privacy.guarantee import epsilon_of
from expunge.unlearning.rung import Bound, NoiseKind, Rung

ASSUMPTIONS = (
    "The rows given to forget are rows that were learned, with the values and weights they were learned with.",
    "Rows given as remaining are all the rows learned and not forgotten, and no others.",
    "Features, hyperparameters and preprocessing were chosen without looking at the learned rows.",
    "epsilon, delta, noise (sigma, or excess risk and floor) and the schedule of refits were fixed before any row was seen.",
    "Rows given for a scheduled refit come in an order that does not depend on those forgotten.",
)
DECLARED_NORM = "Every row, now and later, is at most as long as the declared row_norm."
EXPANDED = (
    "Each row of a person is expanded to several rows, all of them learned and forgotten together: numbers of rows in the "
    "evidence count these expanded rows, and what remains is their weight."
)

BEFORE_DELETION = "Releases from before the deletion are not covered, nor is comparing one of them with a later release."
CAVEATS = (
    "Preprocessing fitted on the data (scalers, vocabularies, PCA, target encoders) is not covered.",
    "Hyperparameters chosen on the data are not covered.",
    BEFORE_DELETION,
    "Requests of other people that were caused by an earlier release are not covered.",
    "Copies of the data elsewhere are not covered.",
    "A copy of the model (a backup, a pickle) that also releases is another system, with a budget of its own.",
    "Models learned from one table add up: k of them give away the square root of k times the mu of one.",
    "Refusals and delays depend on the rows: what a late or missing release tells is not covered.",
    "Until the next refit the secret state's anchor still depends on the forgotten rows.",
)


@dataclass(frozen=True)
class Certificate:
    """The claim of one release and its evidence.

    Args:
        assumptions: what the claim rests on.
        caveats: what it does not cover.
        library_version: of this package, which made it.
        epsilon: what was asked for: ε of (ε, δ)-unlearning, in nats; ``inf`` where sigma is 0.
        delta: δ of it.
        mu: Gaussian certifiability of this release, the μ of μ-GDP: the distance in the noise's own metric over ``scale``, for
            isotropic noise Δ/σ.
        mu_total: the same, jointly for all releases since the earliest deletion of the period; the period ends with a scheduled
            refit (theory §5.7).
        since: the day on which the period began, ISO: of the fit or of the last scheduled refit.
        requests: releases in it.
        noise: ``isotropic`` or ``shaped``.
        sigma: standard deviation of isotropic noise in each weight; ``None`` for shaped noise.
        excess_risk: what shaped noise may cost; ``None`` for isotropic noise.
        noise_floor: τ of shaped noise; ``None`` for isotropic noise.
        scale: σ, or s of shaped noise of covariance s²A⁻¹, which depends on how many rows there are.
        distance_bound: Δ ≥ |w̄ − ŵ′|₂, the proven distance to the model retrained without the forgotten rows.
        rung: how it was proven: ``exact``, ``statistics``, ``pass`` or ``refit``.
        passes: gradient passes over the remaining rows.
        bound: ``local``, ``worst_case`` or ``sekhari2021``: the bound used without the rows.
        n_forgotten: rows that this release forgot; of ordinal and survival models expanded rows, as the assumptions say then.
        n_learned: rows that it learned, counted alike.
        remaining: total weight of the rows learned and not forgotten; of survival models the time at risk.
        n_parameters: p, the number of weights.
        condition: upper bound on the condition number of the Hessian; ``inf`` where none is known.
        exposure_mu: Gaussian certifiability of what earlier releases gave away about the rows forgotten now, each charged the
            move that these made in it (theory §5.5): an estimate; 0 if none was forgotten.
        resets_budget: whether this is a scheduled refit, after which the model is as if those forgotten before had never been.
        drift_mu: μ that this release costs those forgotten before its period: what rounding makes of two models of the same
            rows, 0 where every sum is made in the same order (theory §5.7).
        seconds: time the operation took.
        salt: 32 random bytes as 64 hexadecimal digits: without them who knows all other rows could try out, against a published
            digest of the evidence, what the forgotten rows held.
        weights_digest: SHA-256 of the released weights as little-endian float64.

    Source: theory §5; design §4.8, §4.9.
    """

    epsilon: float
    delta: float
    mu: float
    mu_total: float
    since: str
    requests: int
    noise: NoiseKind
    sigma: float | None
    excess_risk: float | None
    noise_floor: float | None
    scale: float
    distance_bound: float
    rung: Rung
    passes: int
    bound: Bound
    n_forgotten: int
    n_learned: int
    remaining: float
    n_parameters: int
    condition: float
    exposure_mu: float
    resets_budget: bool
    drift_mu: float
    seconds: float
    salt: str = field(repr=False)
    weights_digest: str
    library_version: str
    assumptions: tuple[str, ...] = ASSUMPTIONS
    caveats: tuple[str, ...] = CAVEATS

    @property
    def epsilon_spent(self) -> float:
        """ε of this release alone, at ``delta``; never too small."""
        return epsilon_of(self.mu, self.delta)

    @property
    def epsilon_total(self) -> float:
        """ε of all releases of the period since the earliest deletion in it, jointly, at ``delta``; never too small."""
        return epsilon_of(self.mu_total, self.delta)

    @property
    def scheduled(self) -> bool:
        """Whether a period began with this release: a fit, or a scheduled refit, which resets the budget."""
        return self.requests == 0

    def public(self) -> dict[str, Any]:
        """What may be published with the weights: nothing in it but the digest depends on the rows.

        Of shaped noise that is the rule, and not what came of it: s tells how many rows there are, and so how many went, and
        the difference of two covariances names the row between them.
        """
        kept = ("epsilon", "delta", "noise", "sigma", "excess_risk", "noise_floor", "n_parameters", "bound")
        said = (*kept, "assumptions", "caveats", "library_version", "weights_digest")
        return {name: _plain(getattr(self, name)) for name in said}

    def to_json(self) -> str:
        """All of it, as JSON; infinite numbers are the string ``"inf"``."""
        evidence = {name: _plain(value) for name, value in asdict(self).items()}
        evidence["epsilon_spent"] = _plain(self.epsilon_spent)
        evidence["epsilon_total"] = _plain(self.epsilon_total)
        return json.dumps(evidence, indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Certificate":
        """The certificate that ``to_json`` wrote.

        Args:
            text: what ``to_json`` wrote.

        Raises:
            ValueError: not a certificate; the message names what is missing or unknown.
        """
        given = json.loads(text)
        if isinstance(given, dict) and "noise" not in given and "sigma" in given:  # of a version that knew no other noise
            given |= {"noise": NoiseKind.ISOTROPIC, "excess_risk": None, "noise_floor": None, "scale": given["sigma"]}
        if isinstance(given, dict) and "exposure_mu" in given:  # a version that did not say so: no reset, and charged in full
            given = {"resets_budget": False, "drift_mu": 0.0} | given
        names = {field.name for field in fields(cls)}
        derived = {"epsilon_spent", "epsilon_total"}
        if not isinstance(given, dict) or set(given) != names | derived:
            wrong = sorted(set(given) ^ (names | derived)) if isinstance(given, dict) else ["not an object"]
            raise ValueError(f"this is not a certificate of this library's format: {', '.join(wrong)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else math.inf if value == "inf" else value
            for name, value in given.items()
        }
        named = {"rung": Rung(values["rung"]), "bound": Bound(values["bound"]), "noise": NoiseKind(values["noise"])}
        return cls(**{name: values[name] for name in names} | named)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return list(value) if isinstance(value, tuple) else value
