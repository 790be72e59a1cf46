"""Commands that use a model: predictions, and exports for use elsewhere. Both contain only the released weights."""

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.reading import DATA, reads_files
from expunge.cli.shared import HERE, AsJson, InWorkspace, app, console, notify, progress, show
from expunge.data.dialect import UNKNOWN, Reading
from expunge.files import write_output

FORMS = ("csv", "parquet", "json")


@app.command()
@reads_files
def predict(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    data: Annotated[str, typer.Argument(help=DATA, envvar="EXPUNGE_DATA")],
    out: Annotated[Path, typer.Option(help="File for the predictions: .csv, .parquet or .json.")],
    form: Annotated[
        str | None, typer.Option("--format", help="csv, parquet or json. Default: the ending of the file's name.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="SQL whose result is the rows.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
    reading: Reading = UNKNOWN,
) -> None:
    """Predict rows with a model's newest release; the rows are not stored."""
    from expunge.workspace import Workspace

    form = form or out.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise ValueError(f"--format must be one of {', '.join(FORMS)}, or the file's name end in one of them, got {form!r}")
    with progress("predicting", as_json):
        found = Workspace.open(workspace).predict(name, data, query, reading=reading)
        write_output(out, found.written(form))  # type: ignore[arg-type]
    for sentence in found.sentences:
        notify(sentence)
    odd = {column: {"undeclared": odd.undeclared, "missing": odd.missing} for column, odd in found.odd.items()}
    head = {"model": name, "release": found.release, "certificate": found.certificate}
    result = {**head, "file": str(out), "rows": len(found.table), "columns": found.table.column_names, "odd": odd}
    message = f"{len(found.table):,} rows predicted by release {found.release} of {name} are in {out}"
    show(result, as_json, lambda: console.print(message, highlight=False))


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    form: Annotated[
        str, typer.Option("--format", help="json (for the reference scorer), sklearn (a skops file), onnx or sql.")
    ] = "json",
    dialect: Annotated[str, typer.Option(help="Dialect of SQL: duckdb, postgres or spark.")] = "duckdb",
    table: Annotated[str, typer.Option(help="For SQL: the table or view with the raw columns.")] = "people",
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Write a model's newest release for use elsewhere, from raw columns to predictions; nothing secret is in it."""
    from expunge.workspace.exports import DIALECTS, FORMATS
    from expunge.workspace.exports import export as write
    from expunge.workspace.storage import Storage

    with progress("exporting", as_json):
        for option, value, known in (("--format", form, FORMATS), ("--dialect", dialect, DIALECTS)):
            if value not in known:
                raise ValueError(f"{option} must be one of {', '.join(known)}, got {value!r}")
        write(Storage(workspace), name, form, out, dialect=dialect, table=table)  # type: ignore[arg-type]
    show({"model": name, "file": str(out)}, as_json, lambda: console.print(f"{name} is in {out}", highlight=False))
