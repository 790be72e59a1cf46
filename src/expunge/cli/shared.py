"""What all commands share: the application, its exit codes, options, and how results and errors are shown."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from expunge.errors import ExpungeError, WorkspaceBusy

FAILED, REFUSED, CHECK_FAILED, BUSY = 1, 3, 4, 5
"""Exit codes; 0 is success, 2 wrong usage."""

app = typer.Typer(
    help="Train models that can prove they forgot.",
    epilog="Exit codes: 0 done, 1 error and nothing changed, 2 wrong usage, 3 a request was refused or could not be worked, "
    "4 a check failed, 5 another process is working in the workspace.",
    no_args_is_help=True,
    add_completion=False,
)
console = Console()
errors = Console(stderr=True)

InWorkspace = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
HERE = Path(".")


@app.callback()
def main() -> None:
    """Train models that can prove they forgot."""


def show(result: Any, as_json: bool, text: Callable[[], None]) -> None:
    """Prints ``result`` as JSON, or what ``text`` prints."""
    if as_json:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        text()


def say(message: str) -> None:
    """A word to a person, apart from the result."""
    errors.print(message, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def working(task: str, as_json: bool) -> Iterator[None]:
    """A moving bar while something takes its time; errors become a message and an exit code."""
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=errors, transient=True)
    try:
        with bar:
            bar.add_task(task, total=None)
            yield
    except (ExpungeError, ValueError, OSError, ImportError) as error:
        fail(error, as_json)


@contextmanager
def refusing(as_json: bool, **about: Any) -> Iterator[None]:
    """A refusal becomes a message and its exit code; ``about`` says of what it is, in JSON."""
    from expunge.errors import RequestRefused

    try:
        yield
    except RequestRefused as error:
        message = str(error)
        show({**about, "state": "refused", "reason": error.reason, "message": message}, as_json, lambda: say(message))
        raise typer.Exit(REFUSED) from error


def given_subject(subject: str) -> str:
    """The id of a person: ``-`` stands for the first line of standard input, where other users do not see it.

    Raises:
        ValueError: it is empty.
    """
    found = sys.stdin.readline() if subject == "-" else subject
    if not found.strip():
        raise ValueError("no subject was given: give an id, or - and the id on standard input")
    return found.strip()


def fail(error: Exception, as_json: bool) -> None:
    """Says what happened, and exits."""
    code = BUSY if isinstance(error, WorkspaceBusy) else FAILED
    if as_json:
        typer.echo(json.dumps({"error": type(error).__name__, "message": str(error)}, indent=2, ensure_ascii=False))
    else:
        errors.print("[red]error:[/red]", end=" ")
        say(str(error))
    raise typer.Exit(code) from error
