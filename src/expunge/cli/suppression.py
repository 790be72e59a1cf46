"""Commands for suppression lists: hashed ids of people who are to be forgotten, and whose later rows are left out."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from expunge.cli.casework import LOCAL
from expunge.cli.receipts import write_receipts
from expunge.cli.shared import HERE, REFUSED, AsJson, InWorkspace, app, console, given_list, progress, require_writable, show


@app.command()
def suppress(
    file: Annotated[
        Path,
        typer.Argument(help="A text file with one hash per line, or a .csv file; - reads standard input."),
    ],
    column: Annotated[str, typer.Option(help="Column of the ids that were hashed, such as email.")],
    name: Annotated[str, typer.Option("--list", help="What the list is called, such as drop-2026-08; it stands in the log.")],
    algorithm: Annotated[str, typer.Option("--hash", help="Hash that the list states: sha256, sha512, sha1, md5.")] = "sha256",
    normalised: Annotated[
        str,
        typer.Option(help="What the list states was done before hashing: exact, lower (e-mail), digits or e164 (telephone)."),
    ] = "lower",
    heading: Annotated[str | None, typer.Option(help="Heading of the column with the hashes, in a CSV file.")] = None,
    receipts: Annotated[Path, typer.Option(help="Folder for the receipts of the requests made.")] = Path("receipts"),
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Import a suppression list of hashed ids, such as California's DROP: whoever is found is asked to be forgotten, and later
    rows of everybody on the list are left out. Exits with 3 if a request was refused."""
    from expunge.data.hashed_ids import HashedId
    from expunge.workspace import Workspace
    from expunge.workspace.suppressing import GivenList

    with progress("matching the list", as_json):
        found = Workspace.open(workspace)
        hashed = HashedId.declared(f"{algorithm}({normalised}({column}))")
        listed = given_list(file, (), heading, no_heading=False)
        require_writable(receipts)
        done = found.suppression.add(GivenList(name, hashed, listed.ids, listed.lines), actor=LOCAL)
        made = {answer.request: answer.receipt for answer in done.answers if answer.receipt is not None}
        written = write_receipts(receipts, made)
    refused = [answer for answer in done.answers if answer.is_refused]
    result: dict[str, Any] = {
        "list": done.name,
        "column": done.column,
        "entries": done.entries,
        "new": done.new,
        "requests": [{"request": answer.request, "state": answer.state, "message": answer.message} for answer in done.answers],
        "several": done.several,
        "unmatched": done.unmatched,
        "receipts": written,
    }

    def text() -> None:
        console.print(f"{done.name}: {done.entries:,} hashes, {done.new:,} of them new", highlight=False)
        console.print(f"  {len(done.answers):,} stand for somebody here: {len(made):,} requests were made", highlight=False)
        if done.several:
            console.print(f"  {done.several:,} stand for several people: ask for each by their own id", highlight=False)
        console.print(f"  {done.unmatched:,} stand for nobody here; they are kept for rows that come later", highlight=False)

    show(result, as_json, text)
    if refused:
        raise typer.Exit(REFUSED)


@app.command()
def suppressions(
    lift: Annotated[str | None, typer.Option(help="Name of a list to drop: rows of people on it are taken again.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """List the suppression lists that are kept, or drop one."""
    from expunge.workspace import Workspace

    with progress("reading the lists", as_json):
        found = Workspace.open(workspace)
        if lift is not None:
            found.suppression.lift(lift)
        lists = found.suppression.lists()

    def text() -> None:
        if lift is not None:
            console.print(f"{lift} is dropped", highlight=False)
        table = Table("list", "of", "entries", "last imported", "by", "requests made", "last applied")
        for each in lists:
            matched = "" if each.matched is None else f"{each.matched:,}"
            about = each.actor or "", matched, (each.applied or "")[:10]
            table.add_row(each.name, each.column, f"{each.entries:,}", each.imported[:10], *about)
        console.print(table if lists else "no list is kept", highlight=False)

    show({"lifted": lift, "lists": [vars(each) for each in lists]}, as_json, text)
