"""The table's own columns, which do not come with the data: person, row number, bucket, and the person's other ids."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

SUBJECT, ROW, BUCKET = "_subject", "_row", "_bucket"
"""The pseudonym of the person, the row's number, and the first digits of the pseudonym, by which the table is partitioned."""
ALIAS = "_alias_"
"""Prefix of the names of the columns with pseudonyms for other ids of a person; numbers from 1 on follow."""
BUCKETS = 64


def alias_names(count: int) -> list[str]:
    """The table's columns for ``count`` other ids."""
    return [f"{ALIAS}{number}" for number in range(1, count + 1)]


def is_own(name: str) -> bool:
    """Whether a column has a name of the table's own."""
    return name.casefold() in (SUBJECT, ROW, BUCKET) or name.casefold().startswith(ALIAS)


def bucket_of(pseudonym: str) -> int:
    """The bucket that holds a person's rows."""
    return int(pseudonym[:2], 16) % BUCKETS


def buckets_of(pseudonyms: Iterable[str]) -> list[int]:
    """The buckets that hold these people's rows."""
    return sorted({bucket_of(pseudonym) for pseudonym in pseudonyms})


def by_bucket(rows: pa.Table) -> dict[int, pa.Table]:
    """The rows of each bucket."""
    return {bucket: rows.filter(pc.equal(rows[BUCKET], bucket)) for bucket in pc.unique(rows[BUCKET]).to_pylist()}
