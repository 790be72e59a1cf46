"""Commands that make requests: to forget people, and to restrict the processing of their data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from expunge.cli.casework import LOCAL, Channel, CheckedBy, NoteText, ReceivedOn, Reference, given_note
from expunge.cli.receipts import write_receipts
from expunge.cli.shared import (
    HERE,
    REFUSED,
    UNFINISHED,
    AsJson,
    DryRun,
    InWorkspace,
    app,
    console,
    given_list,
    notify,
    progress,
    require_writable,
    show,
)

if TYPE_CHECKING:
    from expunge.workspace import Workspace
    from expunge.workspace.asking import ForgetRequest
    from expunge.workspace.preview import Preview

PREVIEWED = 20
"""Number of subjects up to which their influence on the models is reported when they ask."""
Subjects = Annotated[list[str] | None, typer.Argument(help="Ids of the people.")]
ListFile = Annotated[
    Path | None,
    typer.Option(
        help="A text file with one id per line, or a .csv file, beside or instead of the ids; - reads standard input. Its "
        "first line is a heading if it names a column of ids."
    ),
]
ListColumn = Annotated[str | None, typer.Option(help="Heading of the column with the ids, in a CSV file.")]
NoHeading = Annotated[
    bool, typer.Option("--no-heading", help="The first line of the file is not a heading; the ids are in its first column.")
]
IdColumn = Annotated[str | None, typer.Option(help="Column of the ids: the subject's or an alias column. Default: any.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key for one subject: the same key returns the same request.")]
Receipts = Annotated[Path, typer.Option(help="Folder for the receipts, which are for the requesters.")]


@app.command()
def forget(
    subjects: Subjects = None,
    file: ListFile = None,
    column: ListColumn = None,
    no_heading: NoHeading = False,
    by: IdColumn = None,
    key: Key = None,
    received_on: ReceivedOn = "",
    channel: Channel = "",
    reference: Reference = "",
    checked_by: CheckedBy = "",
    note: NoteText = "",
    receipts: Receipts = Path("receipts"),
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Accept requests to be forgotten, which `expunge process` then works. Prints a definite answer for each."""
    _ask(
        *(subjects, file, column, no_heading, by, key),
        *((received_on, channel, reference, checked_by, note), receipts, dry_run, workspace, as_json),
    )


@app.command()
def restrict(
    subjects: Subjects = None,
    ground: Annotated[
        str,
        typer.Option(
            help="Why, if that is known: accuracy (it is contested), unlawful (and the person does not want to be erased), "
            "claims (the person needs the data for them), objection (which is not decided yet); GDPR Art. 18(1) a to d."
        ),
    ] = "",
    file: ListFile = None,
    column: ListColumn = None,
    no_heading: NoHeading = False,
    by: IdColumn = None,
    key: Key = None,
    received_on: ReceivedOn = "",
    channel: Channel = "",
    reference: Reference = "",
    checked_by: CheckedBy = "",
    note: NoteText = "",
    receipts: Receipts = Path("receipts"),
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Accept requests to restrict processing (GDPR Art. 18): every model forgets the people, and their rows stay. `expunge
    request lift` ends a restriction."""
    _ask(
        *(subjects, file, column, no_heading, by, key),
        *((received_on, channel, reference, checked_by, note), receipts, dry_run, workspace, as_json),
        ground=ground,
        restricts=True,
    )


def _ask(
    subjects: list[str] | None,
    file: Path | None,
    column: str | None,
    no_heading: bool,
    by: str | None,
    key: str | None,
    noted: tuple[str, str, str, str, str],
    receipts: Path,
    dry_run: bool,
    workspace: Path,
    as_json: bool,
    *,
    ground: str = "",
    restricts: bool = False,
) -> None:
    """Makes requests, or with ``dry_run`` finds out how they would be answered, and shows the answers.

    Args:
        noted: day of receipt, channel, reference, who checked the identity, and a note.
        ground: of a restriction.
        restricts: whether it is asked to restrict processing, and not to forget.
    """
    from expunge.ledger.requests import RequestKind
    from expunge.workspace import Workspace
    from expunge.workspace.asking import ForgetRequest
    from expunge.workspace.cases import Case, basis

    received_on, channel, reference, checked_by, note = noted
    kind = RequestKind.RESTRICT if restricts else RequestKind.FORGET
    if note == "-" and file is not None and str(file) == "-":
        raise ValueError("both --file and --note are to be read from standard input: give one of them as a file or a text")
    with progress("looking the subjects up", as_json):
        found = Workspace.open(workspace)
        listed = None if file is None else given_list(file, found.id_columns, column, no_heading)
        lines = [*(None for _ in subjects or []), *(listed.lines if listed else [])]
        asked = [*(subjects or []), *(listed.ids if listed else [])]
        if not asked:
            raise ValueError(f"nobody to {kind}: give ids, or --file")
        if key is not None and len(asked) != 1:
            raise ValueError("--key is for one subject: leave it out, or make one call per subject")
        case = Case.read(received_on, channel, reference, checked_by, given_note(note))
        why = basis(ground)
        wishes = [
            ForgetRequest(subject, LOCAL, key, by or (listed.by if listed and line else None), case, kind=kind, ground=why)
            for subject, line in zip(asked, lines, strict=True)
        ]
        if not dry_run:
            require_writable(receipts)  # first what may fail, then what cannot be undone
        preview = _preview(found, wishes) if len(asked) <= PREVIEWED else None
        answers = found.ask(wishes, dry_run=dry_run)
        made = {answer.request: answer.receipt for answer in answers if answer.receipt is not None and not dry_run}
        written = write_receipts(receipts, made)
    refused = [answer for answer in answers if answer.is_refused]
    result: list[dict[str, Any]] = [
        {
            "line": lines[i],
            "request": answer.request,
            "state": answer.state,
            "reason": answer.reason,
            "near": answer.near,
            "message": answer.message,
            "deadline": answer.deadline,
            "rows": answer.rows,
            "receipt": written.get(answer.request),
            "influence": {name: moved[i] for name, moved in preview.influence.items()} if preview else None,
        }
        for i, answer in enumerate(answers)
    ]

    def text() -> None:
        table = Table(caption="influence: how far the subject's rows move the weights, in units of the noise")
        for heading in ("request", "state", "rows", "answer", "influence"):
            table.add_column(heading, justify="right" if heading == "rows" else "left")
        for line in result[:PREVIEWED]:
            moved = ", ".join(f"{name} {value:.2g}" for name, value in (line["influence"] or {}).items())
            table.add_row(line["request"], line["state"], str(line["rows"]), line["message"], moved)
        console.print(table)
        after = "nothing was changed: this was a dry run" if dry_run else f"receipts are in {receipts}"
        console.print(f"{len(answers) - len(refused):,} of {len(answers):,} stand; {after}")
        for reason in dict.fromkeys(answer.reason for answer in refused if listed):
            where = [str(line["line"]) for line in result if line["reason"] == reason and line["line"] is not None]
            console.print(f"{reason}: lines {', '.join(where)} of the file", highlight=False, soft_wrap=True)

    show(result, as_json, text)
    if len(written) < len(made):
        raise typer.Exit(UNFINISHED)
    if refused:
        raise typer.Exit(REFUSED)


def _preview(found: "Workspace", asked: "list[ForgetRequest]") -> "Preview | None":
    """What the requests would affect; a model that cannot be read keeps nobody from asking."""
    from expunge.errors import StateCorrupt

    try:
        return found.preview(asked)
    except StateCorrupt as error:
        notify(f"the influence is not known: {error}")
        return None
