"""The command that shows how a file would be understood."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from expunge.cli.reading import DATA, reads_files
from expunge.cli.shared import AsJson, app, console, progress, show
from expunge.data.dialect import UNKNOWN, Reading


@app.command()
@reads_files
def inspect(
    data: Annotated[str, typer.Argument(help=DATA, envvar="EXPUNGE_DATA")],
    query: Annotated[str | None, typer.Option(help="SQL whose result is the rows.")] = None,
    subject: Annotated[list[str] | None, typer.Option(help="Column of ids, read literally; may be repeated.")] = None,
    as_json: AsJson = False,
    reading: Reading = UNKNOWN,
) -> None:
    """Show how a file of rows would be understood, and its odd values, before anything is stored. It prints values."""
    from expunge.data.inspecting import COUNTED, ColumnReport, inspected

    with progress("reading the rows", as_json):
        found = inspected(data, query, texts=subject or (), reading=reading)

    def counted(column: ColumnReport) -> str:
        return f"over {COUNTED:,}" if column.different > COUNTED else f"{column.different:,}"

    def text() -> None:
        for sentence in found.words:
            console.print(sentence, highlight=False, soft_wrap=True)
        table = Table(caption=f"{found.rows:,} rows")
        for heading in ("column", "understood as", "missing", "different", "from", "to"):
            table.add_column(heading, justify="right" if heading in ("missing", "different") else "left", overflow="fold")
        for column in found.columns:
            ends = (column.low or "", column.high or "")
            table.add_row(repr(column.name), column.type, f"{column.missing:,}", counted(column), *ends)
        console.print(table)
        for column in found.columns:
            for odd in column.odd:
                examples = ", ".join(value + (f" (row {row:,})" if row else "") for value, row in odd.examples.items())
                console.print(
                    f"column {column.name!r}: {odd.kind} ({odd.count:,}): {examples}", highlight=False, soft_wrap=True
                )

    show(asdict(found), as_json, text)
