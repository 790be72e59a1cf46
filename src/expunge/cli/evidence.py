"""Commands about evidence: releases, certificates, the log, and their verification."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from expunge.cli.shared import CHECK_FAILED, HERE, AsJson, InWorkspace, app, console, show, working


@app.command()
def releases(
    name: Annotated[str | None, typer.Argument(help="A model; without it all.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """List the releases and what they spent."""
    from expunge.ledger import releases as ledger
    from expunge.workspace.place import Place

    with working("reading the ledger", as_json), Place(workspace).database.reading() as connection:
        rows = ledger.listed(connection, name)
    shown = ("rung", "forgotten", "learned", "remaining", "epsilon_total")
    result = []
    for row in rows:
        evidence = json.loads(row.evidence)
        head = {"certificate": row.id, "model": row.model, "release": row.number, "at": row.at, "batch": row.kind}
        result.append({**head, **{key: evidence[key] for key in shown}, "purged": row.purged})

    def text() -> None:
        table = Table(caption="purged: when the weights were deleted, because somebody in them was forgotten")
        counted = ("forgotten", "learned", "rows")
        for heading in ("certificate", "model", "release", "at", "why", "rung", *counted, "ε spent", "purged"):
            table.add_column(heading)
        for line in result:
            counts = [f"{line[key]:,.0f}" for key in ("forgotten", "learned", "remaining")]
            spent = f"{float(line['epsilon_total']):.2g}"
            head = [str(line[key]) for key in ("certificate", "model", "release")]
            table.add_row(*head, line["at"][:16], line["batch"], line["rung"], *counts, spent, (line["purged"] or "")[:16])
        console.print(table)

    show(result, as_json, text)


@app.command()
def certificate(
    number: Annotated[int, typer.Argument(help="Number of the certificate, as in expunge releases.")],
    out: Annotated[Path | None, typer.Option(help="File for the signed certificate, which may leave the house.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Show a certificate with its evidence, and write the signed public part with --out."""
    from expunge.errors import WorkspaceInvalid
    from expunge.ledger import log
    from expunge.ledger import releases as ledger
    from expunge.workspace.place import Place

    with working("reading the ledger", as_json), Place(workspace).database.reading() as connection:
        row = ledger.release(connection, number)
        if row is None:
            raise WorkspaceInvalid(f"there is no certificate {number}: see expunge releases")
        bundle = log.bundle(connection, row.envelope, row.event)
        if out is not None:
            out.write_text(bundle, encoding="utf-8")
    evidence = json.loads(row.evidence)
    result = {"model": row.model, "release": row.number, "at": row.at, "evidence": evidence, "bundle": json.loads(bundle)}

    def text() -> None:
        console.print(
            f"Release {row.number} of {row.model}: {evidence['forgotten']} rows forgotten. Nobody can tell, up to "
            f"ε = {evidence['epsilon']}, δ = {evidence['delta']}, the released weights from those of a model trained without "
            f"everybody forgotten so far; spent since {evidence['since']}: ε = {float(evidence['epsilon_total']):.3g}.",
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
    """Write the whole event log under its signed checkpoint, to be checked offline by `expunge verify`."""
    from expunge.ledger import log as ledger
    from expunge.workspace.place import Place

    with working("reading the ledger", as_json), Place(workspace).database.reading() as connection:
        out.write_text(ledger.export(connection), encoding="utf-8")
    show({"file": str(out)}, as_json, lambda: console.print(f"the log is in {out}", highlight=False))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A certificate, a receipt or a log.")],
    key: Annotated[Path, typer.Option(help="The workspace's public keys.")] = Path("expunge.pub"),
    subject: Annotated[str | None, typer.Option(help="Of a receipt: the id of the person it should be of.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a certificate, receipt or log offline, with nothing but the public keys. Exits with 4 if it is not genuine."""
    from expunge.errors import SignatureInvalid
    from expunge.ledger.signing import PublicKeys
    from expunge.ledger.verification import verify_file

    problem = None
    facts: dict[str, object] = {}
    with working("checking", as_json):
        try:
            facts = verify_file(file, PublicKeys.read(key), subject)
        except SignatureInvalid as error:
            problem = str(error)
    result = {"file": str(file), "genuine": problem is None, "problem": problem, **facts}

    def text() -> None:
        if problem is not None:
            console.print(f"[red]not genuine:[/red] {file}: {problem}")
            return
        console.print(f"[green]genuine:[/green] {file}")
        for name, value in facts.items():
            console.print(f"  {name}: {value}", markup=False, highlight=False)

    show(result, as_json, text)
    if problem is not None:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def doctor(workspace: InWorkspace = HERE, as_json: AsJson = False) -> None:
    """Check every invariant of the workspace, changing nothing. Exits with 4 if one does not hold."""
    from expunge.workspace.doctor import examine
    from expunge.workspace.place import Place

    with working("examining", as_json):
        findings = list(examine(Place(workspace)))
    result = [{"check": finding.check, "problem": finding.problem, "warning": finding.warning} for finding in findings]

    def text() -> None:
        for finding in findings:
            mark = "[green]ok[/green]     " if finding.warning is None else "[yellow]warning[/yellow]"
            console.print(f"{mark if finding.problem is None else '[red]PROBLEM[/red]'} {finding.check}")
            for said in filter(None, (finding.problem, finding.warning)):
                console.print(f"        {said}", markup=False, highlight=False)

    show(result, as_json, text)
    if any(finding.problem for finding in findings):
        raise typer.Exit(CHECK_FAILED)


@app.command("rotate-key")
def rotate_key(workspace: InWorkspace = HERE, as_json: AsJson = False) -> None:
    """Sign with a new key from now on; what the old one signed stays valid."""
    from expunge.workspace import Workspace

    with working("making a key", as_json):
        keyid = Workspace.open(workspace).rotate_key()
    show({"keyid": keyid}, as_json, lambda: console.print(f"new key {keyid[:16]}…; publish expunge.pub again", highlight=False))
