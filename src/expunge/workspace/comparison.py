"""Comparison: whether every model holds exactly the rows of the table, found in one pass over them.

A digest shows that a file is the one that was written, not that its content is right. So the sums at a model's anchor are
computed again from the rows, and must equal those in its state up to the rounding that both are charged for (theory §4.6).
"""

from typing import Any

import numpy as np
from scipy import sparse

from expunge.data.widening import Wider, widened
from expunge.errors import InvalidRows, NotLearned, StateCorrupt
from expunge.ledger import releases
from expunge.problem.arrays import unsplit
from expunge.workspace.specification import Specification
from expunge.workspace.states import load
from expunge.workspace.storage import Storage
from expunge.workspace.withheld import Forgetting


def unfit(storage: Storage) -> dict[str, str]:
    """The models that do not hold the rows of the table, with the reason.

    Raises:
        WorkspaceInvalid: the table cannot be read.
    """
    with storage.database.reading() as connection:
        names = [row.name for row in releases.all_models(connection)]
    found = {name: _problem(storage, name) for name in names}
    return {name: problem for name, problem in found.items() if problem is not None}


def require_same(storage: Storage, column: str, to: Wider) -> None:
    """Raises ``InvalidRows`` if a model would see different values in ``column`` once it is widened."""
    with storage.database.reading() as connection:
        models = {row.name: Specification.from_json(row.specification).table_columns for row in releases.all_models(connection)}
    for name, columns in models.items():
        if column not in columns.columns:
            continue
        for read in storage.table.by_bucket():
            _people, rows = read(columns.columns)
            before = columns.rows(rows, range(len(rows)))
            try:
                after = columns.rows(widened(rows, column, to), range(len(rows)))
            except InvalidRows as error:
                raise InvalidRows(
                    f"model {name} could not read column {column!r} as {to} ({error}): run expunge retire {name} first. "
                    "Nothing was changed"
                ) from error
            if not (_are_equal(unsplit(before.X), unsplit(after.X)) and np.array_equal(before.y, after.y)):
                raise InvalidRows(
                    f"model {name} would see different values in column {column!r} as {to}: run expunge retire {name} first. "
                    "Nothing was changed"
                )


def _are_equal(X: Any, other: Any) -> bool:
    """Whether two blocks of rows, dense or CSR, hold the same values."""
    return (other != X).nnz == 0 if sparse.issparse(X) else np.array_equal(X, other)


def _problem(storage: Storage, name: str) -> str | None:
    """Why a model is not one of the table's rows; ``None`` if it is."""
    with storage.database.reading() as connection:
        specification = Specification.from_json(releases.named(connection, name).specification)
        hidden = Forgetting.of(connection).forgotten(name)
        try:
            unlearner = load(storage, connection, name)
        except StateCorrupt as error:
            return str(error)
    remedy = f"restore table and state from a backup, or run expunge replace {name}"
    if unlearner.objective != specification.objective:
        return f"its state belongs to a model of another kind: {remedy}"
    try:
        unlearner.require_rows(storage.cached(specification.source(storage.table, hidden)))
    except (InvalidRows, NotLearned) as error:
        return f"its state does not hold the rows of the table ({error}): {remedy}"
    return None
