"""Rungs, bounds and kinds of noise by name: how a release was proven to be near retraining, and hidden. Theory §4, §5."""

from enum import StrEnum


class Rung(StrEnum):
    """A way to weights that are provably near the retrained ones; the cheapest first."""

    EXACT = "exact"
    """The statistics of a loss that is a square: no distance but rounding."""
    STATISTICS = "statistics"
    """One Newton step from the anchor; needs no rows."""
    PASS = "pass"
    """Gradient passes over the remaining rows."""
    REFIT = "refit"
    """A new anchor on the remaining rows."""


class Bound(StrEnum):
    """What certifies the rung of the statistics."""

    LOCAL = "local"
    """The Hessian at hand."""
    WORST_CASE = "worst_case"
    """Declared constants, as theory §4.1 has them."""
    SEKHARI2021 = "sekhari2021"
    """The same with the constants of Sekhari et al. 2021, four times as large."""

    @classmethod
    def _missing_(cls, value: object) -> "Bound":
        raise _unknown(cls, "bound", value)


class NoiseKind(StrEnum):
    """Along which directions a release is noisy."""

    AUTO = "auto"
    """Shaped where that can be certified: a model with a Hessian, the local bound, and no sigma given."""
    SHAPED = "shaped"
    """Wide where the loss is flat, narrow where it is steep; how much follows from the excess risk (theory §5.6)."""
    ISOTROPIC = "isotropic"
    """The same in each weight: sigma."""

    @classmethod
    def _missing_(cls, value: object) -> "NoiseKind":
        raise _unknown(cls, "noise", value)


def _unknown(kinds: type[StrEnum], name: str, value: object) -> ValueError:
    """What to say of a ``value`` of parameter ``name`` that is none of ``kinds``."""
    *most, last = (f"{kind.value!r}" for kind in kinds)
    return ValueError(f"{name} must be {', '.join(most)} or {last}, got {value!r}")
