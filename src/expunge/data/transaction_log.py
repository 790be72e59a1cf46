"""The transaction log of a Delta Lake table: it follows the ledger's list of files, so that others can read the table.

It names files and columns, never people, and keeps no statistics of values.
"""

import json
import stat
import textwrap
import time
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from expunge.data.files import DataFile
from expunge.data.own_columns import BUCKET
from expunge.data.widening import TYPES, Wider
from expunge.errors import InvalidRows, WorkspaceInvalid
from expunge.files import delete_file


class TransactionLog:
    """The transaction log of the table in the folder ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def create(path: Path, schema: pa.Schema) -> None:
        """Makes the log of an empty table.

        Raises:
            InvalidRows: the table cannot hold a type.
            WorkspaceInvalid: Delta Lake takes the path for another one.
        """
        from deltalake import DeltaTable

        require_plain(path)
        try:
            DeltaTable.create(
                path,
                schema,
                partition_by=[BUCKET],
                configuration={"delta.dataSkippingNumIndexedCols": "0"},
            )
        except Exception as error:  # Delta Lake has no narrower error for a type that it does not know
            raise InvalidRows(f"the table cannot hold these columns: {cause(error)}") from error
        _keep_private(path)

    def schema(self) -> pa.Schema:
        """Names and types of the columns that it declares."""
        return pa.schema(self._delta().schema().to_arrow())

    def files(self) -> set[str]:
        """The files that make up the table according to it, below the table's folder."""
        return {unquote(path) for path in self._delta().get_add_actions(flatten=True).column("path").to_pylist()}

    def follow(self, files: Iterable[DataFile], wider: tuple[str, Wider] | None = None) -> None:
        """Makes it name these files, and deletes its unfinished entries; safe to repeat.

        Args:
            wider: a column, and its new type.

        Raises:
            WorkspaceInvalid: the log cannot be read or written, or files were added or removed from outside.
        """
        from deltalake.exceptions import DeltaError
        from deltalake.transaction import AddAction, RemoveAction

        listed, logged, delta = {file.path: file for file in files}, self.files(), self._delta()
        now = int(time.time() * 1000)
        adds: list[AddAction | RemoveAction] = [
            AddAction(file.path, file.size, {BUCKET: str(file.bucket)}, now, True, json.dumps({"numRecords": file.rows}))
            for path, file in listed.items()
            if path not in logged
        ]
        removes = [RemoveAction(path, True, now) for path in sorted(logged - set(listed))]
        schema = delta.schema() if wider is None else _wider(delta.schema(), *wider)
        if adds or removes or schema != delta.schema():
            is_same = schema == delta.schema()  # otherwise no file stays
            actions = [*adds, *removes] if is_same else adds
            try:
                delta.create_write_transaction(actions, "append" if is_same else "overwrite", schema, [BUCKET])
            except (DeltaError, OSError, ValueError) as error:
                raise WorkspaceInvalid(
                    f"the table {self.path} cannot be written to ({cause(error)}); nothing was changed"
                ) from error
        for path in self.unfinished():
            delete_file(path)
        _keep_private(self.path)

    def unfinished(self) -> list[Path]:
        """What Delta Lake leaves of a log entry if it is stopped while writing it."""
        return list((self.path / "_delta_log").glob("*.json#*"))

    def _delta(self) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        require_plain(self.path)
        try:
            return DeltaTable(self.path)
        except (DeltaError, OSError, ValueError) as error:
            raise WorkspaceInvalid(
                f"the table {self.path} cannot be opened ({cause(error)}): restore it from a backup"
            ) from error


def require_plain(path: Path) -> None:
    """Raises ``WorkspaceInvalid`` if Delta Lake takes ``path`` for another one: it decodes %41, and cannot handle \\ or control
    characters; any other character is literal."""
    text = str(path)
    if unquote(text) != text or "\\" in text or any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise WorkspaceInvalid(
            f"Delta Lake takes {text!r} for another folder: choose one without % before two hexadecimal digits, without "
            "backslashes and without control characters"
        )


def _wider(schema: Any, column: str, to: Wider) -> Any:
    """The schema of a transaction log with another type of ``column``."""
    from deltalake import Schema

    fields = [field.with_type(TYPES[to]) if field.name == column else field for field in pa.schema(schema.to_arrow())]
    return Schema.from_arrow(pa.schema(fields))


def _keep_private(folder: Path) -> None:
    """Removes the rights that Delta Lake gives to others: on the table's folder and its transaction log."""
    log = folder / "_delta_log"
    for path in (folder, log, *log.rglob("*")):
        mode = 0o700 if path.is_dir() else 0o600
        if stat.S_IMODE(path.stat().st_mode) != mode:
            path.chmod(mode)


def cause(error: Exception) -> str:
    """The first line of a library's message, shortened for a person."""
    return textwrap.shorten((str(error) or type(error).__name__).splitlines()[0], 200, placeholder=" …")
