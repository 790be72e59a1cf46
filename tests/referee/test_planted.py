"""The referee must be able to fail: each fault planted here is caught in the quick form of the games.

A fault is planted by wrapping a value of the library on its way (``replace`` on a state, a geometry, a budget), as the mistake
would have left it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest

from expunge.numerics.statistics import RowExtremes, Statistics
from expunge.privacy import Guarantee, PrivacyBudget, noise
from expunge.privacy.noise import InsecureNoise
from expunge.unlearning import ladder, mechanism, release, state, unlearner
from expunge.unlearning.bounds import Geometry
from expunge.unlearning.state import State
from expunge.unlearning.unlearner import Unlearner
from tests.referee.play import Fault, play

Plant = Callable[[pytest.MonkeyPatch], None]


def halved_row_norms(patch: pytest.MonkeyPatch) -> None:
    """R and v half as large where the bounds read them."""
    honest = vars(State)["geometry"].fget

    def geometry(self: State) -> Geometry:
        found = honest(self)
        return replace(found, extremes=RowExtremes(found.extremes.row_norm / 2, found.extremes.whitened_norm / 2))

    patch.setattr(State, "geometry", property(geometry))


def raised_curvature(patch: pytest.MonkeyPatch) -> None:
    """μ nine times too large, so that distances come out a third."""
    honest = vars(State)["geometry"].fget
    patch.setattr(State, "geometry", property(lambda self: replace(g := honest(self), curvature_floor=9 * g.curvature_floor)))


def dropped_anchor_gradient(patch: pytest.MonkeyPatch) -> None:
    """q assumed to be zero at the fit: the solver's leftover is not charged."""
    honest = vars(State)["fitted"].__func__

    def fitted(cls, objective, *args):
        found = honest(cls, objective, *args)
        penalty = objective.penalty_gradient(found.anchor, found.statistics.count)
        return replace(found, statistics=replace(found.statistics, gradient_sum=-penalty))

    patch.setattr(State, "fitted", classmethod(fitted))


def kept_hessian(patch: pytest.MonkeyPatch) -> None:
    """The Hessian of the forgotten rows is not subtracted."""
    honest = Statistics._combined
    patch.setattr(
        Statistics, "_combined", lambda self, other, sign: replace(honest(self, other, sign), hessian_sum=self.hessian_sum)
    )


def free_grid(patch: pytest.MonkeyPatch) -> None:
    """The rounding to the noise's grid is not charged."""
    patch.setattr(mechanism, "grid_rounding", lambda *_: 0.0)


def miscounted(patch: pytest.MonkeyPatch) -> None:
    """A forgotten row stays in the count."""
    honest = State.without
    patch.setattr(
        State,
        "without",
        lambda self, gone: replace(s := honest(self, gone), statistics=replace(s.statistics, count=self.statistics.count)),
    )


def reset_by_any_refit(patch: pytest.MonkeyPatch) -> None:
    """A refit that nobody scheduled resets the budget."""
    honest = PrivacyBudget.charged

    def charged(self: PrivacyBudget, mu: float, *, refit: bool = False) -> PrivacyBudget:
        after = honest(self, mu, refit=refit)
        return replace(after, spent=0.0, is_owed=False) if refit else after

    patch.setattr(PrivacyBudget, "charged", charged)


def uncharged_refits(patch: pytest.MonkeyPatch) -> None:
    """A refit that nobody scheduled costs nothing."""
    honest = PrivacyBudget.charged

    def charged(self: PrivacyBudget, mu: float, *, refit: bool = False) -> PrivacyBudget:
        after = honest(self, mu, refit=refit)
        return replace(after, spent=self.spent) if refit else after

    patch.setattr(PrivacyBudget, "charged", charged)


def warm_refits(patch: pytest.MonkeyPatch) -> None:
    """A scheduled refit starts from the old model."""

    def warm(secret_state, source, engine, memory_budget):
        return ladder.refit(secret_state, source, engine, 0, secret_state.anchor), 0.0

    patch.setattr(unlearner, "refit_cold", warm)


def generous_guarantee(patch: pytest.MonkeyPatch) -> None:
    """μ(ε, δ) half as large again as (ε, δ) allows."""
    honest = vars(Guarantee)["mu"].func
    generous = cached_property(lambda self: 1.5 * honest(self))
    generous.__set_name__(Guarantee, "mu")
    patch.setattr(Guarantee, "mu", generous)


def no_noise(patch: pytest.MonkeyPatch) -> None:
    """The point itself is released."""
    honest = release.published
    patch.setattr(
        unlearner, "published", lambda settings, _noise, *args: honest(settings, lambda point, _sigma: point.copy(), *args)
    )


def free_releases(patch: pytest.MonkeyPatch) -> None:
    """No release costs anything."""
    patch.setattr(release, "charged_mu", lambda *_: 0.0)


def changed_by_errors(patch: pytest.MonkeyPatch) -> None:
    """The state is replaced before the ladder has succeeded."""
    honest = Unlearner._operate

    def operate(self, change, *args):
        before = self._secret
        try:
            return honest(self, change, *args)
        except Exception:
            self._secret = replace(before, n_releases=before.n_releases + 1)
            raise

    patch.setattr(Unlearner, "_operate", operate)


def lax_about_rows(patch: pytest.MonkeyPatch) -> None:
    """Rows that cannot have been learned are taken."""
    patch.setattr(state, "require_short", lambda *_: None)
    patch.setattr(State, "_require_learned", lambda *_: None)


def strict_about_rows(patch: pytest.MonkeyPatch) -> None:
    """Rows rightly learned are refused where they are the longest."""
    patch.setattr(state, "SAME", 1.0 - 1e-9)


FAULTS: dict[Plant, str] = {
    halved_row_norms: "ladder",
    raised_curvature: "ladder",
    dropped_anchor_gradient: "ladder",
    kept_hessian: "ladder",
    strict_about_rows: "ladder",
    miscounted: "sequence",
    free_grid: "sequence",
    reset_by_any_refit: "sequence",
    uncharged_refits: "sequence",
    warm_refits: "sequence",
    generous_guarantee: "sequence",
    no_noise: "sequence",
    free_releases: "sequence",
    changed_by_errors: "sequence",
    lax_about_rows: "sequence",
}


@pytest.mark.parametrize(("plant", "game"), FAULTS.items(), ids=lambda x: getattr(x, "__name__", x))
def test_a_planted_fault_is_caught(plant, game, monkeypatch):
    plant(monkeypatch)
    with pytest.raises(Fault, match=f"replay: python -m tests.referee {game}"):
        play(game, range(132 if game == "ladder" else 11))


def test_the_noise_is_on_the_grid_and_of_its_size():
    """The referee's own noise stands in for the library's in the games; here is the library's."""
    point, sigma = np.array([0.3, -1.7, 2.0]), 0.01
    drawn = np.array([noise.secure_noise(point, sigma) for _ in range(2000)])
    grid = 2.0 ** (np.floor(np.log2(sigma)) - 40)
    assert (np.mod(drawn, grid) == 0).all()
    assert np.abs((drawn - point).mean(axis=0)).max() < 6 * sigma / np.sqrt(2000)
    assert np.abs((drawn - point).std(axis=0) / sigma - 1).max() < 0.1
    assert not np.array_equal(InsecureNoise(0)(point, sigma), InsecureNoise(1)(point, sigma))
