"""Commands that keep a workspace safe, and bring it back: backup, restore, recover."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.shared import CHECK_FAILED, HERE, REFUSED, AsJson, InWorkspace, app, console, notify, progress, show

if TYPE_CHECKING:
    from expunge.workspace.queue import Processed
    from expunge.workspace.restoring import Resumption


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="New folder for the backup. It holds private keys and people's rows.")],
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Copy the workspace, while the service runs: ledger, table, models, keys and settings, each file checked."""
    from expunge.workspace.backup import Counted, back_up
    from expunge.workspace.storage import Storage

    with progress("copying", as_json):
        found = Counted.of(back_up(Storage(workspace), folder))

    def text() -> None:
        parts = f"{found.table_files:,} files of the table, {found.models} models, {found.keys} keys, the ledger"
        console.print(f"{folder} holds {parts}: {found.files:,} files, each of which was checked", highlight=False)
        console.print("guard it like the workspace, on another disk; restore it with expunge restore", highlight=False)

    show({"backup": str(folder), **vars(found)}, as_json, text)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="The backup.")],
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="New folder for the workspace.")],
    database: Annotated[
        str | None, typer.Option(envvar="EXPUNGE_DATABASE", help="URL of an empty database for the ledger; by default a file.")
    ] = None,
    anchor: Annotated[
        bool, typer.Option(help="Ask the anchor who was forgotten since; --no-anchor if it is lost for good.")
    ] = True,
    replaces: Annotated[
        str | None, typer.Option(help="Id of a copy restored since that is given up too, as the error message names it.")
    ] = None,
    clock: Annotated[bool, typer.Option("--clock", help="Confirm that the clock is right, far ahead of the backup.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a workspace from a backup, forget again the people forgotten since, and treat all budgets as spent."""
    from expunge.workspace.restoring import restore as restored

    with progress("restoring", as_json):
        found = restored(folder, workspace, database=database, use_anchor=anchor, replaces=replaces, is_clock_right=clock)
    with progress("forgetting again", as_json):
        done = _forgotten_again(workspace)
    _tell({"workspace": str(workspace)}, found, done, as_json)


@app.command()
def recover(
    moved: Annotated[bool, typer.Option("--moved", help="This folder was moved; no other one uses its ledger.")] = False,
    clock: Annotated[bool, typer.Option("--clock", help="The clock is right, though it is far ahead.")] = False,
    anchors: Annotated[
        bool, typer.Option("--anchors", help="expunge.pub, checkpoint.json or the anchor is lost for good: write it again.")
    ] = False,
    older: Annotated[
        bool, typer.Option("--older", help="Folder and ledger are from an earlier day, and the newer ones are lost for good.")
    ] = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Say why a workspace does not continue, and which flag confirms that it should. Without a flag, nothing is changed.

    Exits with 4 if something stands in the way.
    """
    from expunge.workspace import recovery
    from expunge.workspace.storage import Storage

    chosen = [name for name, is_set in (("moved", moved), ("clock", clock), ("anchors", anchors), ("older", older)) if is_set]
    storage = Storage(workspace)
    if older and len(chosen) == 1:
        with progress("continuing", as_json):
            found = recovery.older(storage)
        with progress("forgetting again", as_json):
            done = _forgotten_again(workspace)
        _tell({"workspace": str(workspace)}, found, done, as_json)
        return
    with progress("looking", as_json):
        if len(chosen) > 1:
            raise ValueError("give one flag at a time, the one that expunge recover names first")
        for name in chosen:
            {"moved": recovery.moved, "clock": recovery.clock, "anchors": recovery.anchors}[name](storage)
        causes = recovery.diagnose(Storage(workspace))
    result = {"confirmed": chosen, "causes": [{"what": cause.what, "confirm": cause.flag} for cause in causes]}

    def text() -> None:
        for cause in causes:
            console.print(f"- {cause.what}", markup=False, highlight=False)
        if not causes:
            console.print("nothing stands in the way", highlight=False)
        elif causes[0].flag is None:
            console.print("nothing that can be confirmed: correct this first", highlight=False)
        else:
            console.print(f"If you are sure: expunge recover {causes[0].flag}", markup=False, highlight=False)

    show(result, as_json, text)
    if causes:
        raise typer.Exit(CHECK_FAILED)


def _forgotten_again(workspace: Path) -> "Processed":
    """Works the queue of a workspace that continues from an earlier day."""
    from expunge.errors import ExpungeError, WorkUnfinished
    from expunge.workspace import Workspace

    try:
        return Workspace.open(workspace).process(notify)
    except (ExpungeError, OSError) as error:
        raise WorkUnfinished(
            f"{workspace} continues from an earlier day, but not everybody is forgotten again yet ({error}): "
            "run expunge process"
        ) from error


def _tell(head: dict[str, Any], found: "Resumption", done: "Processed", as_json: bool) -> None:
    """Says what continuing from an earlier day did, and what is lost."""
    given_up = None if found.given_up is None else vars(found.given_up)
    result = {
        **head,
        "continues": found.size,
        "gives_up": given_up,
        "forgotten_again": found.again,
        "noted_as_forgotten": found.noted,
        "requests_lost": list(found.lost),
        "key_was_rotated": found.rotated,
        "closed": done.closed,
        "problems": done.problems,
    }

    def text() -> None:
        console.print(f"the log continues after event {found.size:,}", highlight=False)
        if given_up is not None:
            console.print(f"its checkpoint over {given_up['size']:,} events is given up: {given_up['root']}", highlight=False)
        if found.is_anchored:
            console.print(
                f"{found.again:,} people in the table were forgotten since; {found.noted:,} more, who have no rows, are noted; "
                f"{done.closed:,} requests are closed now. No new receipts are made for them",
                highlight=False,
            )
        else:
            console.print(
                "no anchor: nobody knows who was forgotten since. Repeat the request of everybody who has a receipt",
                highlight=False,
            )
        if found.lost:
            listed = ", ".join(found.lost[:5]) + (", …" if len(found.lost) > 5 else "")
            console.print(f"{len(found.lost):,} open requests are lost and must be made again: {listed}", highlight=False)
        console.print(
            "unknown here: requests made since the last batch of the lost copy, rows added and models fitted since the backup. "
            "Every model's budget counts as spent until its next scheduled refit. Tokens and webhooks are those of the backup: "
            "revoke again those that were revoked since (expunge token list)",
            highlight=False,
        )
        if found.rotated:
            console.print("the lost copy signed with a newer key: run expunge rotate-key", highlight=False)
        for request, problem in done.problems.items():
            console.print(f"{request} could not be worked: {problem}", highlight=False)

    show(result, as_json, text)
    if done.problems:
        raise typer.Exit(REFUSED)
