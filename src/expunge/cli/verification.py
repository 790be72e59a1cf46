"""Commands for holders of evidence: verify a file offline, compare two checkpoints, write one to keep."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.shared import CHECK_FAILED, HERE, AsJson, InWorkspace, app, console, given_subject, progress, show
from expunge.files import write_output


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A certificate, a receipt, a transcript statement, a log or a checkpoint.")],
    key: Annotated[Path, typer.Option(help="The workspace's public keys.")] = Path("expunge.pub"),
    receipt: Annotated[Path | None, typer.Option(help="Receipt of the request that a certificate should answer.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Id of the person for whom a receipt should be; - reads it from standard input.")
    ] = None,
    continues: Annotated[
        Path | None, typer.Option(help="A later checkpoint, certificate or log, that should continue the log in FILE.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a certificate, receipt, transcript, log or checkpoint offline, with nothing but the public keys. Exits with 4 if it
    is not genuine, or does not show what is asked."""
    if continues is not None and (receipt is not None or subject is not None):
        raise typer.BadParameter("--continues compares two states of the log: leave --receipt and --subject out")
    if continues is not None:
        _verify_continues(file, continues, key, as_json)
        return
    from expunge.errors import NotShown, SignatureInvalid
    from expunge.evidence.signing import PublicKeys
    from expunge.evidence.verification import verify_file

    problem, is_genuine = None, True
    claims: dict[str, Any] = {}
    with progress("checking", as_json):
        keys, asked = PublicKeys.read(key), None if subject is None else given_subject(subject)
        try:
            claims = asdict(verify_file(file, keys, asked, receipt))
        except SignatureInvalid as error:
            problem, is_genuine = str(error), isinstance(error, NotShown)
    result = {"file": str(file), "genuine": is_genuine, "problem": problem, **claims}

    def text() -> None:
        if problem is not None:
            console.print(f"{'not shown' if is_genuine else 'not genuine'}:", style="red", end=" ")
            console.print(f"{file}: {problem}", highlight=False)
            return
        console.print("genuine:", style="green", end=" ")
        console.print(file, highlight=False)
        for name, value in claims.items():
            console.print(f"  {name}: {value}", highlight=False)
        if receipt is not None:
            console.print(f"  release {claims['release']} of {claims['model']} answers request {claims['covers']}")

    show(result, as_json, text)
    if problem is not None:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def checkpoint(
    out: Annotated[Path, typer.Argument(help="File for the checkpoint.")],
    since: Annotated[
        Path | None,
        typer.Option(help="An earlier checkpoint, certificate or log: the file then proves that it continues that one."),
    ] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Write the newest signed head of the log, to keep elsewhere; `expunge verify EARLIER --continues LATER` compares two."""
    from expunge.errors import LedgerCorrupt, SignatureInvalid
    from expunge.evidence.verification import witnessed
    from expunge.ledger import log
    from expunge.workspace.storage import Storage

    problem = None
    with progress("reading the ledger", as_json):
        storage = Storage(workspace)
        with storage.database.reading() as connection:
            try:
                earlier = None if since is None else witnessed(since, storage.public_keys(connection)).head
                write_output(out, log.checkpoint_file(connection, earlier).encode())
            except (LedgerCorrupt, SignatureInvalid) as error:
                problem = str(error)
    result = {"file": None if problem else str(out), "problem": problem}
    show(result, as_json, lambda: console.print(problem or f"the checkpoint is in {out}", highlight=False))
    if problem is not None:
        raise typer.Exit(CHECK_FAILED)


def _verify_continues(earlier: Path, later: Path, key: Path, as_json: bool) -> None:
    from expunge.errors import SignatureInvalid
    from expunge.evidence.heads import MEANING
    from expunge.evidence.signing import PublicKeys
    from expunge.evidence.verification import verify_continues

    problem, found = None, None
    with progress("comparing", as_json):
        keys = PublicKeys.read(key)
        try:
            found = verify_continues(earlier, later, keys)
        except SignatureInvalid as error:
            problem = str(error)
    is_good = found in ("continues", "the same")
    if found is not None and not is_good:
        problem = MEANING[found]
    result = {"earlier": str(earlier), "later": str(later), "genuine": found is not None, "answer": found, "problem": problem}

    def text() -> None:
        console.print(f"{found or 'not genuine'}:", style="green" if is_good else "red", end=" ")
        console.print(problem or MEANING[found or "the same"], highlight=False)

    show(result, as_json, text)
    if not is_good:
        raise typer.Exit(CHECK_FAILED)
