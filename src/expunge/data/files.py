"""The files of a table: what each was when it was written, and which are added and removed when the table changes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from expunge.data.own_columns import BUCKET


@dataclass(frozen=True)
class DataFile:
    """A file of rows, as it was written.

    Args:
        path: path below the table's folder, ``_bucket=N/batch-M-K.parquet``.
        rows: number of rows.
        size: size in bytes.
        digest: SHA-256 of the whole file, in hexadecimal.
    """

    path: str
    rows: int
    size: int
    digest: str

    @property
    def bucket(self) -> int:
        """The bucket whose rows it holds."""
        return int(self.path.split("/")[0].removeprefix(f"{BUCKET}="))

    @property
    def place(self) -> tuple[int, str]:
        """A sort key that puts rows in an order that does not depend on anybody who has been erased."""
        return self.bucket, self.path


@dataclass(frozen=True)
class Change:
    """A change of a table: files with rows are ``coming``, others are ``going``."""

    coming: tuple[DataFile, ...] = ()
    going: tuple[DataFile, ...] = ()

    def applied(self, files: Iterable[DataFile]) -> list[DataFile]:
        """``files`` after the change; applying it twice is the same as once."""
        return sorted({*files, *self.coming} - {*self.going}, key=lambda file: file.place)


NOTHING = Change()
"""No change."""


def listing_digest(files: Iterable[DataFile]) -> str:
    """SHA-256 over the names and digests of ``files``: equal only for tables that are equal to the last bit."""
    lines = sorted(f"{file.path} {file.rows} {file.size} {file.digest}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
