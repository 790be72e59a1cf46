"""The transcript statement: what all releases of a model, before a deletion and since, together reveal of those forgotten."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from expunge.cli.shared import HERE, AsJson, InWorkspace, app, console, progress, refusing, show
from expunge.files import write_output


@app.command()
def transcript(
    number: Annotated[int, typer.Argument(help="Number of the certificate of the release that forgot them.")],
    out: Annotated[Path | None, typer.Option(help="File for the signed statement, for those who may see the data.")] = None,
    request: Annotated[str | None, typer.Option(help="Id of a request that it answers, and then names.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """State what all releases of a model, before a deletion and since, together reveal of those forgotten. It is evidence: do
    not publish it."""
    from expunge.ledger.figures import json_number
    from expunge.workspace.storage import Storage
    from expunge.workspace.transcripts import transcript as made

    with progress("reading the ledger", as_json), refusing(as_json, request=request):
        found, document = made(Storage(workspace), number, request)
        if out is not None:
            write_output(out, document.encode())
    figures = ("exposure_mu", "lost_mu", "mu", "epsilon")
    result = {
        **{name: getattr(found, name) for name in ("model", "release", "request", "exposed_from", "delta")},
        **{name: json_number(getattr(found, name)) for name in figures},
        "releases": [
            {"release": each.number, "at": each.at, "why": each.why, "mu": json_number(each.mu)} for each in found.releases
        ],
        "caveats": list(found.caveats),
        "file": None if out is None else str(out),
    }

    def text() -> None:
        table = Table(title=f"What the releases of {found.model} cost those whom release {found.release} forgot")
        for heading in ("release", "at", "why", "μ"):
            table.add_column(heading)
        before = found.release - found.exposed_from
        table.add_row(f"{before} before", "", "exposure, an estimate", f"{found.exposure_mu:.3g}")
        for each in found.releases:
            table.add_row(str(each.number), each.at[:16], each.why, f"{each.mu:.3g}")
        if found.lost_mu:
            table.add_row("of a lost copy", "", "at most the whole budget", f"{found.lost_mu:.3g}")
        console.print(table)
        console.print(
            f"Together: Gaussian certifiability μ = {found.mu:.3g}, that is ε = {found.epsilon:.3g} at δ = {found.delta:g}.",
            highlight=False,
        )
        for caveat in found.caveats:
            console.print(f"- {caveat}", highlight=False)
        if out is not None:
            console.print(f"the signed statement is in {out}; check it with: expunge verify {out} --key expunge.pub")

    show(result, as_json, text)
