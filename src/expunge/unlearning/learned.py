"""Learned rows, known again: a keyed digest of each, beside the sums, which could not tell one row from another.

A digest is made of what a row says, never of how it is stored: dense, CSR and float32 rows of equal values have one digest. It
comes with its row and goes with it. The key is drawn for each fit and kept with the digests, in the secret state alone.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.engine import Engine
from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows, NotLearned
from expunge.problem.arrays import unsplit
from expunge.problem.rows import Places, Rows, RowSource

Digests = NDArray[np.uint64]
Check = Callable[[Rows], Rows]
"""Gives back rows that the model can take, and refuses others."""

SIZE = 8
"""Bytes of a digest. A row that was never learned passes for one of n that were with chance n/2⁶⁴, 5e-14 for a million rows,
and nobody without the key can look for one that does. That two learned rows share a digest only adds up their counts."""


@dataclass(frozen=True, eq=False)
class LearnedRows:
    """The digests of all rows learned and not forgotten.

    Args:
        key: under which they are made.
        by_subject: whether the id of a row is that of its subject, and goes into the digest.
        digests: in order, ``(n_rows,)``; that of equal rows as often as there are such rows.
    """

    key: bytes = field(repr=False)
    by_subject: bool
    digests: Digests = field(repr=False)

    @classmethod
    def of(cls, source: RowSource, engine: Engine, *, by_subject: bool) -> "LearnedRows":
        """The digests of all rows of ``source``, under a new key, by one pass over them.

        Raises:
            InvalidRows: there are no rows, or they lack the ids of their subjects.
        """
        none = cls(secrets.token_bytes(32), by_subject, np.empty(0, dtype="<u8"))
        return replace(none, digests=none._all_of(source, engine))

    def added(self, rows: Rows) -> "LearnedRows":
        """The digests with those of ``rows`` put in.

        Raises:
            InvalidRows: the rows lack the ids of their subjects.
        """
        new = self._all_of(rows, LocalEngine())
        return replace(self, digests=np.insert(self.digests, np.searchsorted(self.digests, new), new))

    def removed(self, rows: Rows, classes: int) -> "LearnedRows":
        """The digests with those of ``rows`` taken out.

        Args:
            classes: how many the model has, 0 of a regression: a row with a wrong label is told from others.

        Raises:
            NotLearned: a row that was never learned, or was forgotten, or is asked for more often than it was learned.
            InvalidRows: the rows lack the ids of their subjects.
        """
        asked = row_digests(rows, self.key, self.by_subject)
        order = np.argsort(asked, kind="stable")
        places, is_known = _found(asked[order], self.digests)
        if not is_known.all():
            row = int(order[~is_known].min())
            raise NotLearned(
                f"row {rows.name(row)} of the request is not among those learned: {self._why(rows.take([row]), classes)}. "
                "Nothing was changed"
            )
        return replace(self, digests=np.delete(self.digests, places))

    def require_same(self, source: RowSource, engine: Engine, check: Check, classes: int) -> None:
        """Refuses rows that are not exactly these, by one pass over them.

        Args:
            check: of each batch.
            classes: see ``removed``.

        Raises:
            NotLearned: ``source`` holds another row, which is named.
            InvalidRows: a row is missing, or one cannot be taken.
        """
        found = self._all_of(source, engine, check)
        if np.array_equal(found, self.digests):
            return
        missing, excess = _less(self.digests, found), _less(found, self.digests)
        lacks = f"{len(missing):,} of the {len(self.digests):,} rows learned and not forgotten are not in it"
        if not len(excess):
            raise InvalidRows(f"the remaining rows are not all there: {lacks}. Pass exactly the rows that remain")
        name, row = self._first(source, excess)
        lacks = f"; {lacks}" if len(missing) else ""
        raise NotLearned(
            f"row {name} of the remaining rows is not among those learned and not forgotten: {self._why(row, classes)}{lacks}. "
            "Pass exactly the rows that remain; nothing was changed"
        )

    def _all_of(self, source: RowSource, engine: Engine, check: Check | None = None) -> Digests:
        made = partial(_digests, self.key, self.by_subject, check)
        return np.sort(np.concatenate(engine.reduce(source, made, add)))

    def _first(self, source: RowSource, digests: Digests) -> tuple[object, Rows]:
        """The first row of ``source`` with one of ``digests``, after its name."""
        first = 0
        for rows in source.batches():
            found = np.flatnonzero(np.isin(row_digests(rows, self.key, self.by_subject), digests))
            if len(found):
                row = int(found[0])
                return (first + row if rows.ids is None else rows.name(row)), rows.take([row])
            first += len(rows)
        raise InvalidRows("the remaining rows changed while they were read: give rows that stay as they are")

    def _why(self, row: Rows, classes: int) -> str:
        """What is wrong with the one row, as far as it can be told."""
        row = row.on_host()
        if n := self._count(row):
            return f"it was learned {n} time{'s' * (n > 1)}, and is there more often"
        for code in range(classes):
            if self._count(replace(row, y=np.array([float(code)]))):
                return f"it was learned, but with class code {code} (classes_[{code}])"
        if row.sample_weight is not None and self._count(replace(row, sample_weight=np.ones(1))):
            return "it was learned, but with weight 1"
        with np.errstate(over="ignore", under="ignore"):
            single = replace(row, X=row.X.astype(np.float32))
        if self._count(single):
            return "it was learned with its values rounded to float32: give them so"
        under = ", under this id," if self.by_subject else ""
        return f"it was never learned{under} with these values, label and weight, or is forgotten already"

    def _count(self, row: Rows) -> int:
        digest = row_digests(row, self.key, self.by_subject)
        return int((np.searchsorted(self.digests, digest, "right") - np.searchsorted(self.digests, digest))[0])


def row_digests(rows: Rows, key: bytes, by_subject: bool) -> Digests:
    """The digest of each row, ``(n_rows,)``: keyed BLAKE2b of how many values are not 0, target, weight, these values, their
    columns (unless it is all of them), and the subject.

    Raises:
        InvalidRows: the rows lack the ids of their subjects.
    """
    if by_subject and (rows.ids is None or isinstance(rows.ids, Places)):
        raise InvalidRows("the model was fitted with subjects: give the id of its subject with every row")
    rows = rows.on_host()
    values, columns, starts = _entries(unsplit(rows.X))
    sizes, width = np.diff(starts), rows.X.shape[1]
    heads = starts[:-1] + 3 * np.arange(len(rows))
    content, is_head = np.empty(len(values) + 3 * len(rows), dtype="<f8"), np.zeros(len(values) + 3 * len(rows), dtype=bool)
    for place, number in enumerate((sizes, rows.y, rows.weight)):
        content[heads + place] = number + 0.0  # −0 is 0
        is_head[heads + place] = True
    content[~is_head] = values
    bytes_of_values, bytes_of_columns = memoryview(content.tobytes()), memoryview(columns.tobytes())
    ends = np.append(heads[1:], len(content)) * 8
    new, made = blake2b(key=key, digest_size=SIZE).copy, []
    spans = zip((heads * 8).tolist(), ends.tolist(), (starts * 4).tolist(), sizes.tolist(), strict=False)
    for row, (start, end, first, size) in enumerate(spans):
        digest = new()
        digest.update(bytes_of_values[start:end])
        if size < width:
            digest.update(bytes_of_columns[first : first + 4 * size])
        if by_subject and rows.ids is not None:
            digest.update(str(rows.ids[row]).encode())
        made.append(digest.digest())
    return np.frombuffer(b"".join(made), dtype="<u8")


def _entries(X: Any) -> tuple[NDArray[np.float64], NDArray[np.uint32], NDArray[np.int64]]:
    """The values of ``X`` that are not 0, row by row, the columns they are in, and where each row starts, and the last ends."""
    if sparse.issparse(X):
        if not X.data.all():
            X = X.copy()
            X.eliminate_zeros()
        return X.data, X.indices.astype("<u4"), X.indptr.astype(np.int64)
    is_there = X != 0
    if is_there.all():
        columns = np.empty(0, dtype="<u4")
        return X.ravel(), columns, np.arange(len(X) + 1) * X.shape[1]
    starts = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
    return X[is_there], np.nonzero(is_there)[1].astype("<u4"), starts


def _digests(key: bytes, by_subject: bool, check: Check | None, rows: Rows) -> tuple[Digests, ...]:
    """Those of a batch; a tuple, so that batches are joined once."""
    return (row_digests(rows if check is None else check(rows), key, by_subject),)


def _found(wanted: Digests, held: Digests) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each of ``wanted`` lies in ``held``, both in order, and whether it does; equal ones have a place each."""
    rank = np.arange(len(wanted)) - np.searchsorted(wanted, wanted)  # how many equal ones lie before it
    places = np.searchsorted(held, wanted) + rank
    is_there = places < len(held)
    is_there[is_there] = held[places[is_there]] == wanted[is_there]
    return places, is_there


def _less(many: Digests, few: Digests) -> Digests:
    """What ``many`` has more than ``few``, both in order."""
    return many[~_found(many, few)[1]]
