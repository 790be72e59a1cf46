"""SISA: Bourtoule et al., IEEE S&P 2021. Shards with a model each; only that of the row is trained again. Theory §4.5."""

import numpy as np

from benchmarks.baselines.base import Array, Baseline, Claims, Index
from expunge.errors import InvalidRows
from expunge.problem.objective import Objective


class Sisa(Baseline):
    """The mean of the weights of ``n_shards`` models, each of its own rows. Exact for the ensemble, which is another model.

    Row i belongs to shard i mod ``n_shards``, whoever else is there: the assignment must not depend on the data.

    Args:
        objective: what each model minimises.
        n_shards: how many models there are; 10 by default.

    Raises:
        InvalidRows: on ``fit`` and ``forget``, if a shard has no row left.
    """

    def __init__(self, objective: Objective, n_shards: int = 10) -> None:
        super().__init__(objective)
        self.n_shards = n_shards

    def _learn(self) -> None:
        self._shards = [self._trained(shard) for shard in range(self.n_shards)]

    def _unlearn(self, gone: Index) -> None:
        for shard in np.unique(gone % self.n_shards):
            self._shards[shard] = self._trained(int(shard))

    def _trained(self, shard: int) -> Array:
        index = np.flatnonzero(self._held)
        index = index[index % self.n_shards == shard]
        if len(index) == 0:
            raise InvalidRows(f"shard {shard} has no rows left: use fewer shards")
        return self._optimum(self._rows.take(index))

    @property
    def weights(self) -> Array:
        return np.asarray(np.mean(self._shards, axis=0))

    def claims(self) -> Claims:
        kept = self._data_bytes() + sum(w.nbytes for w in self._shards)
        return Claims("exact", ("The assignment to shards does not depend on the data.",), True, kept, "Bourtoule et al. 2021")
