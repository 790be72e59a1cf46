"""Twelve kernels whose instructions ``benchmarks.guard`` counts: of passes, forgetting, evidence, ledger and import.

``python -m benchmarks.kernels`` runs them once each, prepared and warm. Only what is inside ``Counted.__imatmul__`` is counted:
the C function behind ``@=`` is one by which callgrind can be told when to begin and end, since nothing else uses it.
"""

import atexit
import gc
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Exchange, Factor, Hessian
from expunge.numerics.higher import HigherSums
from expunge.numerics.leverage import leverages
from expunge.numerics.splitting import split
from expunge.numerics.support import Support
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner

Kernel = Callable[[], object]
Array = NDArray[np.float64]

TOGGLE = "PyNumber_InPlaceMatrixMultiply"
"""The C function that ``@=`` calls."""
LEVELS = (3, 4, 5, 6, 8, 10, 12, 15)
"""Of the categories of the rows that are put into blocks."""


class Counted:
    """``counted @= kernel`` runs the kernel."""

    def __imatmul__(self, kernel: Kernel) -> "Counted":
        kernel()
        return self


def _dense(n: int, p: int) -> Rows:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)) / np.sqrt(p)
    return Rows.of(X, (X[:, 0] > 0.1 * rng.normal(size=n)).astype(float))


def _one_hot(n: int) -> Rows:
    rng = np.random.default_rng(0)
    X = np.hstack([np.eye(levels)[rng.integers(0, levels, n)] for levels in LEVELS])
    return Rows.of(sparse.csr_array(X), (rng.random(n) < 0.3).astype(float))


def _blocks(n: int) -> Rows:
    rows = _one_hot(n)
    objective = Objective(Logistic(), rows.X.shape[1])
    return split(objective, rows, Support.of(objective, rows))


def _at(rows: Rows) -> Evaluation:
    objective = Objective(Logistic(), rows.X.shape[1])
    return Evaluation(objective, rows, np.linspace(-0.1, 0.1, objective.width))


def gradient() -> Kernel:
    """Predictors and gradient of dense rows."""
    rows = _dense(40_000, 50)
    return lambda: _at(rows).gradient


def hessian(rows: Rows) -> Kernel:
    """XᵀDX of ``rows``."""
    at = _at(rows)
    return at.hessian


def third_order() -> Kernel:
    """B and K of rows in blocks."""
    at = _at(_blocks(20_000))
    lifted = leverages(at, np.eye(at.objective.width))
    return lambda: HigherSums.at(at, lifted, 3)


def forget(p: int, order: int) -> Kernel:
    """One row forgotten from the statistics, certificate included, without noise's own time."""
    rows = _dense(10 * p, p)
    objective = Objective(Logistic(), p, 0.1)
    settings = Settings(Guarantee(1e3, 1e-5), sigma=0.1, order=order)  # type: ignore[arg-type]
    model = Unlearner.learn_from(objective, rows, settings, noise=lambda weights, _sigma: weights)
    left = iter(range(len(rows)))
    return lambda: model.forget(rows.take([next(left)]))


def factor_update() -> Kernel:
    """The factor of a Hessian that twenty rows leave."""
    rows, going = _dense(2_000, 200), _dense(20, 200)
    at, leaving = _at(rows), _at(going)
    before = Hessian(at.objective, at.hessian(), at.count)
    after = Hessian(at.objective, at.hessian() - leaving.hessian(), at.count - leaving.count)
    factor, root = Factor.of(before), leaving.curvature_root()
    return lambda: Exchange.of(before, factor, root).exchanged(after, -1.0)


def noise() -> Kernel:
    """A release's noise of 10,000 coordinates."""
    from expunge.privacy.noise import _draw

    return lambda: _draw(10_000, 0.1)


def evidence() -> Kernel:
    """Twenty statements signed and verified."""
    from expunge.evidence.signing import PublicKeys, SigningKey
    from expunge.evidence.statements import CERTIFICATE, digest

    key = SigningKey.generate()
    keys = PublicKeys.of([(key.pem, None)])
    said = {f"figure {k}": k / 7 for k in range(30)}

    def kernel() -> None:
        for number in range(20):
            keys.verified(key.sign(CERTIFICATE, {f"model/{number}": digest(str(number))}, said), CERTIFICATE)

    return kernel


def sealing() -> Kernel:
    """A thousand rows of requests sealed, as they are added to a ledger."""
    from expunge.ledger.sealing import EMPTY, Sealing, SealKey
    from expunge.ledger.tables import requests

    row = {column.name: "2026-01-01T00:00:00+00:00" for column in requests.columns}

    def kernel() -> None:
        account = Sealing(SealKey(bytes(32)), EMPTY)
        for number in range(1_000):
            account.add(account.seal(requests, {**row, "id": f"r-{number:020x}"}))

    return kernel


def parsing() -> Kernel:
    """A CSV file of 5,000 people's rows, its form found out."""
    from expunge.data.reading import read_batches

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    path = folder / "people.csv"
    lines = (
        f"p{k},{20 + k % 60},{('clerk', 'nurse', 'pilot')[k % 3]},{k / 8:.3f},2026-01-{1 + k % 28:02}" for k in range(5_000)
    )
    path.write_text("\n".join(["who,age,job,income,since", *lines]) + "\n")

    return lambda: sum(len(batch) for batch in read_batches(str(path))[1])


KERNELS: dict[str, Callable[[], Kernel]] = {
    "gradient, dense rows": gradient,
    "Hessian, dense rows": lambda: hessian(_dense(8_000, 100)),
    "Hessian, CSR rows": lambda: hessian(_one_hot(20_000)),
    "Hessian, rows in blocks": lambda: hessian(_blocks(20_000)),
    "third-order sums, rows in blocks": third_order,
    "forget one row, order 2, p = 200": lambda: forget(200, 2),
    "forget one row, order 3, p = 60": lambda: forget(60, 3),
    "factor without 20 rows, p = 200": factor_update,
    "noise of 10,000 coordinates": noise,
    "20 statements signed and verified": evidence,
    "1,000 rows of the ledger sealed": sealing,
    "a CSV file of 5,000 rows": parsing,
}


def main(names: Sequence[str]) -> None:
    """Runs the kernels of these names, or all."""
    counted = Counted()
    for name in names or KERNELS:
        kernel = KERNELS[name]()
        kernel()  # what it loads and keeps is not counted
        gc.collect()
        gc.disable()
        counted @= kernel
        gc.enable()


if __name__ == "__main__":
    main(sys.argv[1:])
