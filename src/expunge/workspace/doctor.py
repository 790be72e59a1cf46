"""The doctor: checks the invariants of a workspace to the depth asked for, and changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

from expunge.errors import ExpungeError
from expunge.workspace import checks, edits
from expunge.workspace.storage import Storage

Depth = Literal["seconds", "minutes", "models", "everything"]
DEPTHS: tuple[Depth, ...] = get_args(Depth)
EDITED = "settings and schema are as they were last used"
RESTORE = "put the newest copy back, or run expunge restore from the newest backup"
CHECKS: tuple[tuple[str, Depth, Callable[[Storage], str | None], str], ...] = (
    ("settings, schema and keys can be read", "seconds", checks.readable, "correct the file that is named, or restore it"),
    (
        "the ledger is the newest and belongs to this folder",
        "seconds",
        checks.newest,
        "run expunge recover, which says what is wrong",
    ),
    ("private files are readable by their owner alone", "seconds", checks.private, "run the chmod that is named"),
    ("no batch is unfinished", "seconds", checks.finished, "run expunge process"),
    ("every file that the ledger knows is there", "seconds", checks.present, RESTORE),
    ("there are no stray files", "seconds", checks.strays, "move the file elsewhere, or delete it if you know what it is"),
    ("every model can forget", "seconds", checks.able, "fix the cause, or run expunge replace or expunge retire"),
    ("no request is past its deadline", "seconds", checks.deadlines, "run expunge process"),
    ("no tombstone has outlived its term", "seconds", checks.buried, "run expunge process"),
    ("the database is sound", "minutes", lambda storage: storage.database.verify(), RESTORE),
    ("every entry of the ledger is as it was sealed", "minutes", checks.sealed, RESTORE),
    ("the log is what was signed", "minutes", checks.log, RESTORE),
    ("requests and tokens are what the log says", "minutes", checks.asked, RESTORE),
    ("every certificate is signed, in the log, and fits its evidence", "minutes", checks.certificates, RESTORE),
    ("every model is specified as the log says", "minutes", checks.specifications, RESTORE),
    ("no budget is overspent", "minutes", checks.budgets, "run expunge retire for the model, and report it: this is a fault"),
    ("every model's state is the one released", "minutes", checks.states, "restore the state, or run expunge replace"),
    ("the table is the one the ledger knows", "minutes", checks.table, RESTORE),
    ("models have learned exactly the rows of the table", "minutes", checks.rows, RESTORE),
    ("nobody forgotten has rows", "minutes", checks.forgotten, "run expunge forget for them, and report it: this is a fault"),
    ("what was taken from the rows is shared by ten people", "minutes", checks.shared, "edit schema.toml, run expunge replace"),
    ("every model holds the rows of the table", "models", checks.compared, "restore table and state, or run expunge replace"),
    ("every model is as near to a retrained one as certified", "everything", checks.retrained, "run expunge replace"),
)
"""Every check with its depth, its function, and what to do if it finds something; the ledger's own come first."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        check: what was checked.
        problem: what is wrong; ``None`` where all is well.
        remedy: what to do about it.
        warning: something that does no harm yet, and what to do about it.
    """

    check: str
    problem: str | None
    remedy: str | None = None
    warning: str | None = None


def examine(storage: Storage, depth: Depth = "minutes") -> Iterator[Finding]:
    """Every check of this depth and what it found, in order. An interrupted batch is reported until the next command.

    Args:
        storage: the workspace.
        depth: ``seconds``, whatever the workspace's size; ``minutes``, which also reads every file and every entry of the
            ledger; ``models``, which also compares every model with the rows, in one pass each; ``everything``, which also
            retrains every model.

    Raises:
        ValueError: there is no such depth.
        WorkspaceInvalid: there is no workspace.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth must be one of {', '.join(DEPTHS)}, got {depth!r}")
    storage.configuration  # noqa: B018  # says if there is no workspace
    examined = storage.examined()
    edited = None
    try:
        for name, needs, check, remedy in CHECKS:
            if DEPTHS.index(needs) <= DEPTHS.index(depth):
                try:
                    warning = check(examined)
                except (ExpungeError, OSError, ValueError, KeyError) as error:
                    yield Finding(name, str(error) or type(error).__name__, remedy)
                except Exception as error:  # unforeseen damage; the error's text may quote a row
                    yield Finding(
                        name, f"this cannot be checked, because of damage or a fault ({type(error).__name__})", remedy
                    )
                else:
                    yield Finding(name, None, warning=warning)
        with suppress(ExpungeError, OSError, ValueError):  # the first check says that they cannot be read
            edited = edits.noticed(examined)
    finally:
        if "unproven_database" in vars(examined):
            examined.unproven_database.close()
    yield Finding(EDITED, None, warning=edited)
    yield Finding("an older copy of this workspace would be noticed", None, warning=_unanchored(storage))


def _unanchored(storage: Storage) -> str | None:
    if storage.configuration.anchor:
        return None
    return "no anchor is set, so a copy of yesterday's folder would pass for today's: set one in workspace.toml"
