"""The workspace: one table, many models, one ledger, on disk. Design §1, §4."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expunge.workspace.workspace import Workspace

__all__ = ["Workspace"]


def __getattr__(name: str) -> Any:
    """``Workspace``, loaded when it is first used, so that code that only reads the ledger starts quickly."""
    if name != "Workspace":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from expunge.workspace.workspace import Workspace

    return Workspace
