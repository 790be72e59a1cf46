"""Commands for officers: what is done with a request that was accepted."""

from typing import Annotated

import typer

from expunge.cli.shared import HERE, REFUSED, AsJson, DryRun, InWorkspace, app, console, progress, refusing, show

LOCAL = "local"
"""The actor of commands."""
request_app = typer.Typer(help="One request: its history, and what officers do with it.", no_args_is_help=True)
app.add_typer(request_app, name="request")
ReceivedOn = Annotated[
    str, typer.Option(help="Day on which the request came, such as 2026-11-03; the deadline counts from it. Default: today.")
]
Channel = Annotated[str, typer.Option(help="How it came: letter, email, form, telephone, in-person or other.")]
Reference = Annotated[str, typer.Option(help="The office's own reference. Like the two below, it goes with the tombstone.")]
CheckedBy = Annotated[str, typer.Option(help="Who checked the person's identity.")]
NoteText = Annotated[str, typer.Option(help="A note; - reads it from standard input.")]
RequestId = Annotated[str, typer.Argument(help="Id of the request.")]


@app.command()
def cancel(
    request: RequestId,
    reason: Annotated[
        str, typer.Option(help="Why: person (who asked has withdrawn it), mistake, duplicate or other.")
    ] = "person",
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Withdraw an accepted request that nobody works on yet."""
    from expunge.errors import RequestRefused
    from expunge.ledger.requests import RequestState
    from expunge.workspace import Workspace

    refused: RequestRefused | None = None
    with progress("cancelling", as_json):
        try:
            Workspace.open(workspace).cancel(request, reason=reason, dry_run=dry_run)
        except RequestRefused as error:
            refused = error
    done_state = RequestState.ACCEPTED if dry_run else RequestState.CANCELLED
    state = done_state if refused is None else RequestState.REFUSED
    result = {"request": request, "state": state, "message": "" if refused is None else str(refused)}
    done = f"{request} can be cancelled; this was a dry run" if dry_run else f"{request} is cancelled"
    show(result, as_json, lambda: console.print(str(refused) if refused else done, highlight=False))
    if refused is not None:
        raise typer.Exit(REFUSED)


@request_app.command()
def extend(
    request: RequestId,
    reason: Annotated[str, typer.Option(help="complexity or many (requests), as GDPR Art. 12(3) has it.")],
    months: Annotated[int, typer.Option(min=1, max=2, help="By how many months.")] = 1,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Extend the deadline of an open request, once; tell the person, with the reason, before the first one ends."""
    from expunge.workspace import handling
    from expunge.workspace.storage import Storage

    with progress("extending", as_json), refusing(as_json, request=request):
        deadline = handling.extend(Storage(workspace), request, months, reason, LOCAL)
    result = {"request": request, "deadline": deadline, "reason": reason}
    show(result, as_json, lambda: console.print(f"{request} is now due on {deadline[:10]}", highlight=False))


@request_app.command()
def refuse(
    request: RequestId,
    reason: Annotated[
        str,
        typer.Option(
            help="expression, legal-obligation, public-health, archiving or legal-claims (GDPR Art. 17(3) a to e); of a "
            "restriction no-ground (of Art. 18(1)); unfounded or excessive (Art. 12(5))."
        ),
    ],
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Refuse an accepted request that nobody has worked on; the person's rows stay."""
    from expunge.workspace import handling
    from expunge.workspace.storage import Storage

    with progress("refusing", as_json), refusing(as_json, request=request):
        handling.refuse(Storage(workspace), request, reason, LOCAL)
    result = {"request": request, "state": "refused", "reason": reason}
    show(result, as_json, lambda: console.print(f"{request} is refused", highlight=False))


@request_app.command()
def approve(request: RequestId, workspace: InWorkspace = HERE, as_json: AsJson = False) -> None:
    """Approve a request, and all that came with it, that somebody else made with a token; nobody approves their own."""
    from expunge.workspace import handling
    from expunge.workspace.storage import Storage

    with progress("approving", as_json), refusing(as_json, request=request):
        approved = handling.approve(Storage(workspace), request, LOCAL)
    show({"requests": approved}, as_json, lambda: console.print(f"{len(approved):,} requests are approved", highlight=False))


@request_app.command()
def lift(
    request: RequestId,
    reason: Annotated[
        str,
        typer.Option(
            help="Why: settled (what was contested, or objected to, is decided), claims-over (the person needs the data for no "
            "claim any more), person (who wants it), other."
        ),
    ],
    informed: Annotated[
        bool, typer.Option("--informed", help="The person was told before, as GDPR Art. 18(3) wants it.")
    ] = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Lift a restriction of processing: with the next `expunge process`, every model learns the person's rows again."""
    from expunge.workspace import handling
    from expunge.workspace.storage import Storage

    with progress("lifting", as_json), refusing(as_json, request=request):
        handling.lift(Storage(workspace), request, reason, LOCAL, is_informed=informed)
    result = {"request": request, "state": "lifting", "reason": reason}
    done = f"{request} is lifted; it stands until expunge process has let the models learn the rows again"
    show(result, as_json, lambda: console.print(done, highlight=False))


@request_app.command()
def note(
    request: RequestId,
    text: Annotated[str, typer.Option(help="The note; - reads it from standard input.")],
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Add a note to a request; it is deleted with the term of the tombstone, and is in no log."""
    from expunge.workspace import handling
    from expunge.workspace.storage import Storage

    with progress("noting", as_json), refusing(as_json, request=request):
        handling.note(Storage(workspace), request, given_note(text), LOCAL)
    show({"request": request}, as_json, lambda: console.print(f"noted on {request}", highlight=False))


@request_app.command()
def history(request: RequestId, workspace: InWorkspace = HERE, as_json: AsJson = False) -> None:
    """Show what happened to a request: who did it, when, why, and the number of the event in the signed log."""
    from rich.table import Table

    from expunge.workspace import register
    from expunge.workspace.storage import Storage

    with progress("reading the ledger", as_json), refusing(as_json, request=request):
        found = register.history(Storage(workspace), request)

    def text() -> None:
        table = Table()
        for heading in ("at", "what", "who", "why", "certificate", "event"):
            table.add_column(heading)
        for entry in found:
            certificate = "" if entry.certificate is None else f"{entry.model}, {entry.certificate}"
            who, event = entry.who or entry.actor or "", "" if entry.event is None else str(entry.event)
            table.add_row(entry.at[:19], entry.what, who, entry.reason or "", certificate, event)
        console.print(table)

    show([vars(entry) for entry in found], as_json, text)


def given_note(text: str) -> str:
    """The text of a note; ``-`` reads it from standard input."""
    return typer.get_text_stream("stdin").read() if text == "-" else text
