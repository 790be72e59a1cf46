"""Retraining on the remaining rows, from nothing or from the present weights: what all others approach. Theory §4.5."""

from benchmarks.baselines.base import Array, Baseline, Claims, Index


class RetrainCold(Baseline):
    """Newton from zero on what remains. Claims exactness; assumes nothing; reads every row."""

    def _learn(self) -> None:
        self._w = self._optimum(self._remaining)

    def _unlearn(self, gone: Index) -> None:
        self._learn()

    @property
    def weights(self) -> Array:
        return self._w

    def claims(self) -> Claims:
        return Claims("exact", (), True, self._data_bytes(), "—", distance_bound=0.0)


class RetrainWarm(RetrainCold):
    """The same from the present weights. Exact only because the solver stops on the gradient: a loose rule stops at once.

    The trap: scikit-learn's ``warm_start=True`` at its default tolerance runs no iteration after one row of 20,000 goes,
    and returns the old weights.
    """

    def _unlearn(self, gone: Index) -> None:
        self._w = self._optimum(self._remaining, self._w)
