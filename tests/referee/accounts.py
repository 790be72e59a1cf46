"""The referee's own accounts: what releases really give away, beside what the certificates say. Theory §5.1, §5.7."""

from dataclasses import dataclass, replace

from flint import arb, ctx

from tests.referee.oracle import BITS


def delta_of(mu: float, epsilon: float) -> arb:
    """δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ), as a ball of 320 bits."""
    with ctx.workprec(BITS):
        m, e = arb(mu), arb(epsilon)
        if not m > 0:
            return arb(0)
        return _normal(m / 2 - e / m) - e.exp() * _normal(-m / 2 - e / m)


def _normal(x: arb) -> arb:
    return (-x / arb(2).sqrt()).erfc() / 2


ZERO = arb(0)


@dataclass(frozen=True)
class Account:
    """What was given away about the earliest person forgotten since the last scheduled refit.

    Args:
        true: Σ (Δⱼ/σ)², Δⱼ the true distance to retraining.
        certified: Σ μⱼ² as the certificates say.
        is_owed: whether anybody was forgotten since the last scheduled refit.
    """

    true: arb = ZERO
    certified: float = 0.0
    is_owed: bool = False

    def released(self, *, distance: arb, sigma: float, mu: float, forgot: bool) -> "Account":
        """The account after one more release."""
        if not (self.is_owed or forgot):
            return self
        with ctx.workprec(BITS):
            share = (distance / arb(sigma)) ** 2
            return replace(self, true=self.true + share, certified=self.certified + mu**2, is_owed=True)
