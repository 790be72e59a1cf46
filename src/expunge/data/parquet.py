"""Parquet files on any fsspec store, read row group by row group; and the files of a Delta table there."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expunge.data.headings import require_names
from expunge.data.row_numbers import counted
from expunge.errors import InvalidRows

VALUES = 1 << 21
"""Number of rows decoded at a time."""
DELETION_VECTORS = "deletionVectors"
"""Delta's name for rows that are deleted although their file still holds them, listed elsewhere."""


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file, which any thread or process can read.

    Args:
        store: an fsspec file system.
        path: path of the file on it.
        stamp: what identified the file's content when it was found.
        number: number of the row group in its file.
        n_rows: number of rows.
    """

    store: Any
    path: str
    stamp: str
    number: int
    n_rows: int

    @property
    def name(self) -> str:
        """Which row group it is, for errors."""
        return f"row group {self.number} of {self.path}"

    def tables(self, columns: Sequence[str], looked_up: Sequence[str] = ()) -> Iterator[pa.Table]:
        """Its rows in order, a few at a time, with these columns, decoded in the calling thread.

        Args:
            columns: names of the columns.
            looked_up: those whose texts stay the codes that the file has for them, each with its text once. Default: none.

        Raises:
            InvalidRows: the file is gone, was changed, or cannot be read.
        """
        at_once = max(1, VALUES // max(1, len(columns)))
        try:
            if _stamp(self.store, self.path) != self.stamp:
                raise InvalidRows(f"{self.path} was changed while it was in use: open the table again")
            footer = _footer(self.store, self.path, self.stamp)
            with pq.ParquetFile(self.path, filesystem=self.store, metadata=footer, read_dictionary=list(looked_up)) as file:
                for batch in file.iter_batches(at_once, [self.number], columns=list(columns), use_threads=False):
                    yield pa.Table.from_batches([batch])
        except FileNotFoundError as error:
            raise InvalidRows(f"{self.path} is gone: restore it, or open the table again") from error
        except (pa.ArrowException, OSError) as error:
            raise InvalidRows(f"{self.name} cannot be read ({_first_line(error)}): restore the file") from error


def row_groups(location: str, columns: Sequence[str], storage_options: dict[str, Any] | None = None) -> list[RowGroup]:
    """The row groups of a Parquet file, of all files in a folder, or of a Delta table (a folder with a ``_delta_log``).

    Args:
        location: a path, or a URL of any fsspec store (``s3://…``).
        storage_options: options for that store.
        columns: columns that will be read; every file must have them, with one type each.

    Raises:
        InvalidRows: there is nothing there, or columns are missing or differ; the message names file and column.
    """
    import fsspec

    try:
        store, path = fsspec.core.url_to_fs(location, **(storage_options or {}))
    except (ImportError, ValueError) as error:
        raise InvalidRows(f"{location} cannot be opened: {_first_line(error)}") from error
    if store.exists(f"{path}/_delta_log"):
        return files_row_groups(_delta_files(store, path), columns, store)
    return files_row_groups(_parts(store, path) if store.isdir(path) else [path], columns, store)


class ParquetRows:
    """The rows of a Parquet file, of all files in a folder, or of a Delta table; all have the same columns.

    Args:
        path: path of the file or folder.

    Raises:
        InvalidRows: there is nothing to read, columns differ from file to file or have names that cannot be told apart,
            or values are only in the names of folders.
    """

    def __init__(self, path: Path) -> None:
        from fsspec.implementations.local import LocalFileSystem

        store, folder = LocalFileSystem(), str(path.absolute())
        files = [folder]
        if path.is_dir():
            files = _delta_files(store, folder) if store.exists(f"{folder}/_delta_log") else _parts(store, folder)
            _require_whole(folder, files)
        schemas = [_found(store, file)[1].schema.to_arrow_schema() for file in files]
        self.schema = schemas[0].remove_metadata()
        require_names(str(path), self.schema.names)
        for file, schema in zip(files, schemas, strict=True):
            if different := set(schema.names) ^ set(self.schema.names):
                name = sorted(different)[0]
                raise InvalidRows(f"only one of {file} and {files[0]} has a column {name!r}: write one of them again")
        self._groups = files_row_groups(files, self.schema.names, store)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, numbered from file to file."""
        row = 1
        for group in self._groups:
            for table in group.tables(self.schema.names):
                for batch in table.select(self.schema.names).to_batches():
                    yield counted(batch, row)
                    row += len(batch)


def _parts(store: Any, path: str) -> list[str]:
    """The Parquet files in a folder, without those that their writer has hidden or not finished, as Spark reads it."""
    found = [file for file in store.find(path) if file.lower().endswith(".parquet")]
    return sorted(file for file in found if not any(part[0] in "._" for part in Path(file).relative_to(path).parts))


def _require_whole(folder: str, files: Sequence[str]) -> None:
    if not files:
        raise InvalidRows(
            f"there is no Parquet file in the folder {folder}: hidden files, and folders such as _temporary, do not count"
        )
    for file in files:
        for part in Path(file).relative_to(folder).parts[:-1]:
            if "=" in part:
                raise InvalidRows(
                    f"the values of column {part.partition('=')[0]!r} are in the names of folders in {folder}, and in no file: "
                    "write the rows again with it as a column, without partitions"
                )


def files_row_groups(paths: Sequence[str], columns: Sequence[str], store: Any = None) -> list[RowGroup]:
    """The row groups of these files; see ``row_groups``."""
    if store is None:
        from fsspec.implementations.local import LocalFileSystem

        store = LocalFileSystem()
    found: list[RowGroup] = []
    types: dict[str, tuple[pa.DataType, str]] = {}
    for path in paths:
        stamp, footer = _found(store, path)
        schema = footer.schema.to_arrow_schema()
        for name in columns:
            if name not in schema.names:
                raise InvalidRows(f"{path} has no column {name!r}: it has {', '.join(schema.names)}")
            given, (wanted, first) = schema.field(name).type, types.setdefault(name, (schema.field(name).type, path))
            if given != wanted:
                raise InvalidRows(f"column {name!r} holds {given} in {path}, but {wanted} in {first}: write one of them again")
        found += [RowGroup(store, path, stamp, g, footer.row_group(g).num_rows) for g in range(footer.num_row_groups)]
    return found


def _found(store: Any, path: str) -> tuple[str, Any]:
    """A mark of a file's present content, and its footer."""
    try:
        stamp = _stamp(store, path)
        return stamp, _footer(store, path, stamp)
    except FileNotFoundError as error:
        raise InvalidRows(f"there is no file {path}: restore it, or open the table again") from error
    except (pa.ArrowException, OSError) as error:
        raise InvalidRows(f"{path} cannot be read ({_first_line(error)}): restore the file") from error


def _delta_files(store: Any, path: str) -> list[str]:
    """The files of the present version, from a copy of the log alone: deltalake knows few stores, fsspec knows all."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    with tempfile.TemporaryDirectory() as folder:
        store.get(f"{path}/_delta_log", str(Path(folder) / "_delta_log"), recursive=True)
        try:
            delta = DeltaTable(folder)
            if DELETION_VECTORS in (delta.protocol().reader_features or ()):
                raise InvalidRows(
                    f"the Delta table {path} may hold rows that are deleted only by deletion vectors, which would be learned "
                    "again: purge them (REORG TABLE … APPLY (PURGE)) and switch the feature off"
                )
            return sorted(f"{path}/{Path(uri.removeprefix('file://')).relative_to(folder)}" for uri in delta.file_uris())
        except DeltaError as error:
            raise InvalidRows(f"the Delta table {path} cannot be opened ({_first_line(error)}): restore its log") from error


def _stamp(store: Any, path: str) -> str:
    store.invalidate_cache()
    info = store.info(path)
    return repr([info.get(name) for name in ("size", "mtime", "LastModified", "last_modified", "ETag", "etag", "created")])


@lru_cache(maxsize=256)
def _footer(store: Any, path: str, stamp: str) -> Any:
    return pq.read_metadata(path, filesystem=store)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
