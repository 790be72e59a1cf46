"""The files of a table on disk: each is read only if it is the one that was written, and only what is named is deleted."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from expunge.data.files import DataFile
from expunge.data.own_columns import BUCKET
from expunge.data.transaction_log import cause
from expunge.errors import InvalidRows, WorkspaceInvalid
from expunge.files import delete_file, sync_file, sync_folder

T = TypeVar("T")
READS = 5
"""Number of times that something is read when the table is rewritten under the reader."""


class TableFiles:
    """The files in the folder ``path``; ``listed`` says which ones make up the table now."""

    def __init__(self, path: Path, listed: Callable[[], Sequence[DataFile]]) -> None:
        self.path = path.resolve()
        self._listed = listed
        self._checked: dict[str, tuple[int, ...]] = {}

    def present(self) -> list[DataFile]:
        """The files of the table, unread."""
        return list(self._listed())

    def settled(self, read: Callable[[], T]) -> T:
        """What ``read`` returns, called again if the table was rewritten meanwhile: the files that it read are deleted at once.

        Raises:
            WorkspaceInvalid: a file of the table cannot be read, or the table is rewritten all the time.
            InvalidRows: ``read`` found rows that cannot be used.
        """
        for left in reversed(range(READS)):
            before = self.present()
            try:
                return read()
            except (WorkspaceInvalid, InvalidRows):
                if not left or self.present() == before:
                    raise
        raise AssertionError

    def files(self, buckets: Sequence[int] | None = None) -> list[DataFile]:
        """The files of the table, in all buckets or in some.

        Raises:
            WorkspaceInvalid: one is missing, or is not the file that was written.
        """
        wanted = None if buckets is None else set(buckets)
        return self.verified(file for file in self._listed() if wanted is None or file.bucket in wanted)

    def verified(self, files: Iterable[DataFile]) -> list[DataFile]:
        """``files``, each checked to be what was written, in the order of their rows; see ``verify``."""
        found = sorted(files, key=lambda file: file.place)
        for file in found:
            self.verify(file)
        return found

    def verify(self, file: DataFile) -> None:
        """Raises ``WorkspaceInvalid`` unless ``file`` is what was written; reads it if it may have changed since."""
        path = self.path / file.path
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if self._checked.get(file.path) == stamp:
                return
            is_right = found.st_size == file.size and _digest(path) == file.digest
        except OSError as error:
            raise WorkspaceInvalid(
                f"the file {path} of the table cannot be read ({error.strerror}): restore it from a backup"
            ) from error
        if not is_right:
            raise WorkspaceInvalid(
                f"the file {path} of the table is not the one that was written: it was changed from outside, or is damaged. "
                "Restore it from a backup; nothing was changed"
            )
        self._checked[file.path] = stamp

    def delete(self, files: Iterable[DataFile]) -> None:
        """Deletes these files, which no longer belong to the table.

        Raises:
            WorkspaceInvalid: one still belongs to the table, or none of the listed files is here: nothing is deleted.
        """
        listed = {file.path for file in self._listed()}
        doomed = [file.path for file in files]
        if listed & set(doomed) or (listed and not any((self.path / path).exists() for path in listed)):
            raise WorkspaceInvalid(f"the files of the table {self.path} are not where the ledger says: run expunge doctor")
        for path in doomed:
            delete_file(self.path / path)

    def discard(self, batch: int) -> None:
        """Deletes the files that ``batch``, which was given up, had written."""
        listed = {file.path for file in self._listed()}
        for path in self.path.glob(f"{BUCKET}=*/{prefix(batch)}*.parquet"):
            if str(path.relative_to(self.path)) not in listed:
                delete_file(path)

    def _read(self, file: DataFile, names: Sequence[str]) -> pa.Table:
        try:
            return pq.ParquetFile(self.path / file.path).read(columns=list(names))
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def _write_file(self, bucket: int, batch: int, rows: pa.Table) -> DataFile:
        path = self.path / f"{BUCKET}={bucket}" / f"{prefix(batch)}0.parquet"
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            pq.write_table(rows, path, compression="zstd", write_statistics=False)
            return self._written(path, len(rows))
        except OSError as error:
            raise self._unwritable(error) from error

    def _written(self, path: Path, rows: int) -> DataFile:
        path = path.resolve()
        path.chmod(0o600)
        path.parent.chmod(0o700)
        sync_file(path)
        sync_folder(path.parent)
        return DataFile(str(path.relative_to(self.path)), rows, path.stat().st_size, _digest(path))

    def _unreadable(self, error: Exception) -> WorkspaceInvalid:
        return WorkspaceInvalid(f"a file of the table {self.path} cannot be read ({cause(error)}): restore it from a backup")

    def _unwritable(self, error: Exception) -> WorkspaceInvalid:
        return WorkspaceInvalid(f"the table {self.path} cannot be written to ({cause(error)}); nothing was changed")


def prefix(batch: int) -> str:
    """Prefix of the names of the files of ``batch``."""
    return f"batch-{batch:08d}-"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
