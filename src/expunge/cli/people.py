"""The command that shows what is held about a person."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from expunge.cli.shared import HERE, AsJson, InWorkspace, app, console, given_subject, progress, refusing, show
from expunge.files import write_output

SHOWN = 5
"""Number of rows that are printed; a file has all."""


@app.command(name="show")
def show_person(
    subject: Annotated[str, typer.Argument(help="The person's id; - reads it from standard input.")],
    by: Annotated[str | None, typer.Option(help="Column of the id: the subject's or an alias column. Default: any.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A file for the person: .json with everything, or .csv with the rows alone.")
    ] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Show what is held about a person (GDPR Art. 15 and 20): their rows, and which models learned them. It prints values."""
    from expunge.workspace import Workspace

    if out is not None and out.suffix not in (".json", ".csv"):
        raise ValueError(f"{out} must end in .json or .csv")
    with progress("looking the person up", as_json), refusing(as_json):
        found = Workspace.open(workspace).show(given_subject(subject), by=by)
        if out is not None:
            write_output(out, (found.to_csv() if out.suffix == ".csv" else found.to_json()).encode())
    models = [vars(each) for each in found.models]
    result: dict[str, Any] = {
        "rows": found.rows,
        "models": models,
        "restrictions": [vars(each) for each in found.restrictions],
        "out": None if out is None else str(out),
    }

    def text() -> None:
        few = found.rows[:SHOWN]
        table = Table("column", *(f"row {number}" for number in range(1, len(few) + 1)))
        for name in few[0]:
            table.add_row(name, *("" if row[name] is None else str(row[name]) for row in few))
        console.print(table)
        rows = "1 row" if len(found.rows) == 1 else f"{len(found.rows):,} rows"
        console.print(f"{rows}; ids are not kept as they were given, and so are left out")
        for each in found.models:
            first, last = each.releases[0], each.releases[-1]
            made = f"certificate {last}" if first == last else f"certificates {first} to {last}"
            console.print(f"{each.model} learned {each.n_rows:,} of them, which may be in each of its releases: {made}")
        if not found.models:
            console.print("no model learned any of them")
        for restriction in found.restrictions:
            since = "asked for; until then the models above have the rows"
            if restriction.since is not None:
                since = f"since {restriction.since[:10]}"
            about = f"{restriction.state}, {since}: request {restriction.request}"
            console.print(f"restriction of processing, {about}", highlight=False)
        if out is not None:
            console.print(f"written to {out}")

    show(result, as_json, text)
