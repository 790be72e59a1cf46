"""Transcripts: what all releases of a model, before a deletion and since, can tell together of those forgotten. Theory §5.8."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from expunge.evidence.charges import Charge, Why, composed
from expunge.privacy.guarantee import epsilon_of
from expunge.unlearning.certificate import BEFORE_DELETION, CAVEATS, Certificate

NOT_COVERED = (
    "The exposure is an estimate, not a bound: to first order, and for noise that is the same with the rows and without.",
    "It counts all releases since the model was fitted, as if each had held these rows.",
    "It is that of all rows that the release forgot, together; of several people one alone may have been exposed more.",
    *(caveat for caveat in CAVEATS if caveat != BEFORE_DELETION),
)
"""What a transcript does not cover."""


@dataclass(frozen=True)
class Transcript:
    """What all releases of one model can tell together of the rows that one of them forgot. Evidence: not for publication.

    Args:
        exposure_mu: μ of the releases before the deletion, an estimate.
        charges: what each release costs, from the deletion on.
        delta: of the model's promise.

    Examples:
        >>> import numpy as np
        >>> from expunge.linear_model import LogisticRegression
        >>> X = np.linspace(-1.0, 1.0, 2000)[:, None]
        >>> y = (np.arange(2000) % 4 < 2 + np.sign(X[:, 0])).astype(int)
        >>> model = LogisticRegression(sigma=0.1).fit(X, y)
        >>> for i in range(3):
        ...     _ = model.forget(X[[i]], y[[i]])
        >>> found = Transcript.of(model.certificates_[2:])  # of whom the second deletion forgot
        >>> [str(charge.why) for charge in found.charges], found.mu > found.exposure_mu
        (['deletion', 'later'], True)

    Source: theory §5.8.
    """

    exposure_mu: float
    charges: tuple[Charge, ...]
    delta: float

    @classmethod
    def of(cls, certificates: Sequence[Certificate]) -> "Transcript":
        """The transcript for those whom the release of the first certificate forgot.

        Args:
            certificates: of that release and of every later one of the model, in order; one that is left out is not counted.

        Raises:
            ValueError: there is none, the first forgot nobody, or a later one is of a model with another guarantee.
        """
        if not certificates or certificates[0].n_forgotten == 0:
            raise ValueError("the first certificate must be of a release that forgot rows: it is for them that all is counted")
        first = certificates[0]
        if any(later.delta != first.delta for later in certificates):
            raise ValueError("the certificates have different deltas: give those of one model")
        return cls(first.exposure_mu, tuple(charges(certificates)), first.delta)

    @property
    def mu(self) -> float:
        """Gaussian certifiability μ of all the releases together."""
        return composed((self.exposure_mu, *(charge.mu for charge in self.charges)))

    @property
    def epsilon(self) -> float:
        """ε of them at ``delta``, in nats; never too small for ``mu``."""
        return epsilon_of(self.mu, self.delta)


def charges(certificates: Iterable[Certificate]) -> Iterable[Charge]:
    """What each release costs those whom the first forgot: its distance, until the first refit that resets the budget; then
    what rounding makes of it, as the model is as if they had never been.

    Args:
        certificates: as for ``Transcript.of``.
    """
    is_deletion, is_over = True, False
    for certificate in certificates:
        if is_over:
            yield Charge(Why.AFTER, certificate.drift_mu)
        elif certificate.resets_budget and not is_deletion:
            is_over = True
            yield Charge(Why.SCHEDULED, certificate.drift_mu)
        else:
            mu = certificate.mu if certificate.scale > 0 else math.inf
            yield Charge(Why.DELETION if is_deletion else Why.LATER, mu)
        is_deletion = False
