"""Commands about evidence: releases, certificates, the log, the doctor."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from expunge.cli.shared import (
    CHECK_FAILED,
    HERE,
    AsJson,
    DryRun,
    InWorkspace,
    app,
    console,
    progress,
    refusing,
    show,
    show_plan,
)
from expunge.files import write_output


@app.command()
def releases(
    name: Annotated[str | None, typer.Argument(help="A model. Default: all.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """List the releases and what they spent."""
    from expunge.ledger import releases as ledger
    from expunge.workspace.storage import Storage

    with progress("reading the ledger", as_json), Storage(workspace).database.reading() as connection:
        rows = ledger.listed(connection, name)
    shown = ("rung", "n_forgotten", "n_learned", "remaining", "epsilon_total")
    result = [
        {
            "certificate": row.id,
            "model": row.model,
            "release": row.number,
            "at": row.at,
            "batch": row.kind,
            **{name: row.figures.content[name] for name in shown},
            "purged": row.purged,
        }
        for row in rows
    ]

    def text() -> None:
        table = Table(
            caption="purged: when the weights were deleted, because somebody in them was forgotten. "
            + "Of ordinal and survival models rows are expanded ones: see the certificate"
        )
        counted = ("forgotten", "learned", "rows")
        for heading in ("certificate", "model", "release", "at", "why", "rung", *counted, "ε spent", "purged"):
            table.add_column(heading)
        for row in rows:
            found, head = row.figures, (str(row.id), row.model, str(row.number), row.at[:16], row.kind)
            counts = [f"{number:,.0f}" for number in (found.n_forgotten, found.n_learned, found.remaining)]
            table.add_row(*head, found.rung, *counts, f"{found.epsilon_total:.2g}", (row.purged or "")[:16])
        console.print(table)

    show(result, as_json, text)


@app.command()
def certificate(
    number: Annotated[int, typer.Argument(help="Number of the certificate, as in expunge releases.")],
    out: Annotated[Path | None, typer.Option(help="File for the signed certificate, which may be published.")] = None,
    request: Annotated[
        str | None, typer.Option(help="Id of a request: the file then also proves that the certificate answers it.")
    ] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Show a certificate with its evidence, and write the signed public part with --out."""
    from expunge.errors import WorkspaceInvalid
    from expunge.ledger import log
    from expunge.ledger import releases as ledger
    from expunge.ledger.bindings import covering
    from expunge.unlearning.certificate import EXPANDED
    from expunge.workspace.storage import Storage

    with (
        progress("reading the ledger", as_json),
        refusing(as_json, request=request),
        Storage(workspace).database.reading() as connection,
    ):
        row = ledger.release(connection, number)
        if row is None:
            raise WorkspaceInvalid(f"there is no certificate {number}: see expunge releases")
        covers = None if request is None else covering(connection, row, request)
        bundle = log.bundle(connection, row.envelope, row.event, covers)
        if out is not None:
            write_output(out, bundle.encode())
    found = row.figures
    counted = "expanded rows" if EXPANDED in str(found.content["assumptions"]) else "rows"
    head = {"model": row.model, "release": row.number, "at": row.at}
    result = {**head, "evidence": found.content, "bundle": json.loads(bundle)}

    def text() -> None:
        console.print(
            f"Release {row.number} of {row.model}: {found.n_forgotten} {counted} forgotten. Nobody can tell, within "
            f"ε = {found.epsilon}, δ = {found.delta}, the released weights from those of a model trained without "
            f"everybody forgotten so far; spent since {found.since}: ε = {found.epsilon_total:.3g} (Gaussian certifiability "
            f"μ = {found.mu_total:.3g}).",
            highlight=False,
        )
        console.print("The evidence, for those who may see the data:")
        console.print_json(row.evidence)
        if out is not None:
            console.print(f"the signed certificate is in {out}; check it with: expunge verify {out} --key expunge.pub")

    show(result, as_json, text)


@app.command()
def log(
    out: Annotated[Path, typer.Argument(help="File for the log.")], workspace: InWorkspace = HERE, as_json: AsJson = False
) -> None:
    """Write the whole event log under its signed checkpoint, for `expunge verify` to check offline."""
    from expunge.ledger import log as ledger
    from expunge.workspace.storage import Storage

    with progress("reading the ledger", as_json), Storage(workspace).database.reading() as connection:
        write_output(out, ledger.export(connection).encode())
    show({"file": str(out)}, as_json, lambda: console.print(f"the log is in {out}", highlight=False))


@app.command()
def doctor(
    depth: Annotated[
        str,
        typer.Option(
            help="seconds; minutes: also every file and entry of the ledger; models: also compares every model with the rows, "
            "in one pass each; everything: also retrains every model."
        ),
    ] = "minutes",
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Check the invariants of the workspace, changing nothing. Exits with 4 if one does not hold."""
    from expunge.workspace.doctor import examine
    from expunge.workspace.storage import Storage

    with progress("examining", as_json):
        findings = list(examine(Storage(workspace), depth))  # type: ignore[arg-type]  # checked there
    result = [vars(finding) for finding in findings]

    def text() -> None:
        for finding in findings:
            mark, style = ("ok     ", "green") if finding.warning is None else ("warning", "yellow")
            mark, style = (mark, style) if finding.problem is None else ("PROBLEM", "red")
            console.print(mark, style=style, end=" ")
            console.print(finding.check, highlight=False)
            if finding.problem is not None:
                console.print(f"        {finding.problem}\n        to do: {finding.remedy}", highlight=False)
            elif finding.warning is not None:
                console.print(f"        {finding.warning}", highlight=False)

    show(result, as_json, text)
    if any(finding.problem for finding in findings):
        raise typer.Exit(CHECK_FAILED)


@app.command("rotate-key")
def rotate_key(
    revoke: Annotated[bool, typer.Option("--revoke", help="Somebody else may have the old key.")] = False,
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Sign with a new key from now on, which the old one endorses; what the old one has signed so far stays valid."""
    from expunge.workspace import Workspace

    with progress("making a key", as_json):
        found = Workspace.open(workspace)
        if dry_run:
            show_plan(found.planned(lambda plans: plans.rotate_key(is_revoked=revoke)), as_json)
            return
        keyid = found.rotate_key(is_revoked=revoke)
    message = f"new key {keyid[:16]}…; publish expunge.pub again"
    show({"keyid": keyid}, as_json, lambda: console.print(message, highlight=False))
