"""What all commands share: the application, exit codes, options, and how results and errors are shown."""

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from typer.core import TyperGroup

from expunge.data.lists import IdList, Unclear, is_table, read_list
from expunge.errors import ExpungeError, WorkspaceBusy, WorkspaceInvalid, WorkUnfinished, missing
from expunge.files import delete_unfinished
from expunge.identities import canonical

if TYPE_CHECKING:
    from expunge.workspace.expectations import Expected
    from expunge.workspace.plans import Plan

FAILED, REFUSED, CHECK_FAILED, BUSY, UNFINISHED, FAULT = 1, 3, 4, 5, 6, 7
"""Exit codes; 0 is success, 2 wrong usage."""
PACKAGE = Path(__file__).parents[1]


class Border(TyperGroup):
    """Turns every exception that a command lets through into a sentence and an exit code, never a traceback."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Runs the requested command."""
        try:
            return super().main(args, *more, **extra)
        except Exception as error:
            fail(error, as_json="--json" in (sys.argv[1:] if args is None else args))


app = typer.Typer(
    help="Train models that can prove they forgot.",
    epilog="Exit codes: 0 done, 1 error and nothing changed, 2 wrong usage, 3 a request was refused or could not be worked, "
    "4 a check failed, 5 another process is working in the workspace, 6 done, but something is left to do: the message says "
    "what, 7 a fault of this program.",
    cls=Border,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(markup=False, emoji=False)  # names of files and models may look like markup
errors = Console(stderr=True, markup=False, emoji=False)

AcceptUndeclared = Annotated[
    bool,
    typer.Option(
        "--accept-undeclared", help="Continue, whatever share of a column is missing or outside what the schema declares."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
InWorkspace = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
HERE = Path(".")


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"expunge {version('expunge')}")
        raise typer.Exit


@app.callback()
def main(
    told: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    """Train models that can prove they forgot."""


def show(result: Any, as_json: bool, text: Callable[[], None]) -> None:
    """Prints ``result`` as JSON, or what ``text`` prints; if that fails (a full disk, a closed pipe), says so."""
    try:
        if as_json:
            typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
        else:
            text()
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # otherwise Python tries again when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        notify(
            f"it is done, but the result could not be printed ({error.strerror}): see expunge status for the result, and "
            "revoke a token that nobody saw"
        )
        raise typer.Exit(UNFINISHED) from error


def show_plan(plan: "Plan[Expected]", as_json: bool) -> None:
    """Prints what a command would do."""

    def text() -> None:
        for name, value in plan.expected.as_json().items():
            if value not in (None, [], {}):
                console.print(f"{name.replace('_', ' ')}: {_listed(value)}", highlight=False)
        console.print("nothing was changed: this was a dry run", highlight=False)

    show({**plan.expected.as_json(), "dry_run": True}, as_json, text)


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_listed(each)}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def notify(message: str) -> None:
    """Prints a message for a person, apart from the result."""
    errors.print(message, highlight=False, soft_wrap=True)


@contextmanager
def progress(task: str, as_json: bool) -> Iterator[None]:
    """A moving bar while a task takes time, unless the result is for a program."""
    if as_json:
        yield
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=errors, transient=True) as bar:
        bar.add_task(task, total=None)
        yield


@contextmanager
def refusing(as_json: bool, **about: Any) -> Iterator[None]:
    """Turns a refusal into a message and its exit code; ``about`` says in JSON what it concerns."""
    from expunge.errors import RequestRefused

    try:
        yield
    except RequestRefused as error:
        from expunge.ledger.requests import RequestState

        message, near = str(error), {} if error.near is None else {"near": error.near}
        result = {**about, "state": RequestState.REFUSED, "reason": error.reason, **near, "message": message}
        show(result, as_json, lambda: notify(message))
        raise typer.Exit(REFUSED) from error


def fail(error: Exception, as_json: bool) -> NoReturn:
    """Says what happened, and exits."""
    message, code = explained(error)
    with suppress(OSError):  # if it can be printed at all
        if as_json:
            typer.echo(json.dumps({"error": type(error).__name__, "message": message}, indent=2, ensure_ascii=False))
        else:
            errors.print("error:", style="red", end=" ")
            notify(message)
    sys.exit(code)


def explained(error: Exception) -> tuple[str, int]:
    """The message for an exception, and the exit code.

    The text of an unforeseen exception may quote a row, an id or a password. So only texts that this package wrote are shown,
    and those of the operating system about a file; of all others, only the type and the place in the program.
    """
    if isinstance(error, WorkUnfinished):
        return str(error), UNFINISHED
    if isinstance(error, WorkspaceBusy):
        return str(error), BUSY
    frames = traceback.extract_tb(error.__traceback__)
    is_ours = bool(frames) and _is_ours(frames[-1]) and (frames[-1].line or "").startswith("raise")
    if isinstance(error, ExpungeError) or (isinstance(error, ValueError | ImportError) and is_ours):
        return str(error), FAILED
    if isinstance(error, ModuleNotFoundError) and (said := missing(error)) is not None:
        return said, FAILED
    if isinstance(error, OSError) and isinstance(error.strerror, str):
        name = error.filename2 or error.filename or "a file"
        return f"{name} cannot be used: {error.strerror.lower()}. Nothing was changed", FAILED
    where = next((frame for frame in reversed(frames) if _is_ours(frame)), None)
    place = "" if where is None else f" at {Path(where.filename).relative_to(PACKAGE)}:{where.lineno}"
    message = (
        f"this is a fault of expunge: {type(error).__name__}{place}. Nothing secret is in this message: please report it. "
        "Run expunge status and expunge doctor to see the state of the workspace"
    )
    return message, FAULT


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(PACKAGE)


def given_subject(subject: str) -> str:
    """The id of a person; ``-`` reads it from standard input, where other users do not see it (from a terminal, one line).

    Raises:
        ValueError: it is empty.
    """
    found = subject
    if subject == "-":
        found = (sys.stdin.readline() if sys.stdin.isatty() else sys.stdin.read()).removesuffix("\n").removesuffix("\r")
    if not canonical(found):
        raise ValueError("no subject was given: give an id, or - to read it from standard input")
    return found


def given_list(file: Path, known: Sequence[str], column: str | None, no_heading: bool) -> IdList:
    """The ids in ``file``, or on standard input if it is ``-``; says how they were understood.

    Args:
        known: names of the columns of ids.
        column: the heading of the column with the ids.
        no_heading: whether there is no heading.

    Raises:
        ValueError: this is not a list, or it is unclear where in it the ids are.
    """
    if column is not None and no_heading:
        raise ValueError("--column names a heading, and --no-heading says that there is none: leave one out")
    is_input = str(file) == "-"
    where = "standard input" if is_input else str(file)
    content = sys.stdin.buffer.read() if is_input else file.read_bytes()
    is_csv = column is not None or is_table(file.name)
    try:
        found = read_list(content, known, table=is_csv, column=column, headed=False if no_heading else None)
    except ValueError as error:
        hint = " (--column NAME, or --no-heading)" if isinstance(error, Unclear) else ""
        raise ValueError(f"{where}: {error}{hint}") from error
    notify(f"{where}: {found.understood}")
    return found


def require_writable(folder: Path) -> None:
    """Makes ``folder`` if need be, checks that a file can be written there, and deletes what an interrupted command started to
    write.

    Raises:
        WorkspaceInvalid: it is not a folder, or cannot be written to.
    """
    try:
        folder.mkdir(exist_ok=True, parents=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        delete_unfinished(folder)
    except OSError as error:
        raise WorkspaceInvalid(
            f"{folder} cannot be written to ({(error.strerror or '').lower()}): choose another folder. Nothing was changed"
        ) from error
