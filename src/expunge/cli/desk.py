"""Commands about people and their requests."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from expunge.cli.casework import Channel, ReceivedOn
from expunge.cli.reading import DATA, reads_files
from expunge.cli.receipts import write_receipts
from expunge.cli.shared import (
    HERE,
    REFUSED,
    UNFINISHED,
    AcceptUndeclared,
    AsJson,
    DryRun,
    InWorkspace,
    app,
    console,
    given_subject,
    notify,
    progress,
    refusing,
    require_writable,
    show,
    show_plan,
)
from expunge.data.dialect import UNKNOWN, Reading
from expunge.unlearning.rung import Rung

if TYPE_CHECKING:
    from expunge.workspace.batch import Outcome

MATTERS = {
    "overdue": "overdue",
    "due": "due this week",
    "stuck": "stuck",
    "approval": "waiting for a second person's approval",
    "held": "held",
}
"""How open requests are counted, in words."""


@app.command()
@reads_files
def rectify(
    subject: Annotated[str, typer.Argument(help="Id of the person whose rows are wrong; - reads it from standard input.")],
    file: Annotated[Path, typer.Option(help="File with all the rows of this person, as they should be; read as append does.")],
    received_on: ReceivedOn = "",
    channel: Channel = "",
    receipts: Annotated[Path, typer.Option(help="Folder for the receipt, which is for the requester.")] = Path("receipts"),
    accept_undeclared: AcceptUndeclared = False,
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
    reading: Reading = UNKNOWN,
) -> None:
    """Correct a person's rows (GDPR Art. 16) in the table and in every model, at once."""
    from expunge.workspace import Workspace
    from expunge.workspace.cases import Case

    with progress("correcting", as_json), refusing(as_json):
        person, found = given_subject(subject), Workspace.open(workspace)
        if dry_run:
            how: dict[str, Any] = {"reading": reading, "accept_undeclared": accept_undeclared}
            show_plan(found.planned(lambda plans: plans.rectify(person, str(file), **how)), as_json)
            return
        require_writable(receipts)
        answer, outcomes = found.rectify(
            person,
            str(file),
            accept_undeclared=accept_undeclared,
            reading=reading,
            case=Case.read(received_on, channel),
            notify=notify,
        )
        written = write_receipts(receipts, {answer.request: answer.receipt or ""})
    result = {
        "request": answer.request,
        "rows": answer.rows,
        "receipt": written.get(answer.request),
        "releases": [described(outcome) for outcome in outcomes],
    }
    show(result, as_json, lambda: print_outcomes(outcomes, f"{answer.rows} rows corrected; request {answer.request} is closed"))
    if not written:
        raise typer.Exit(UNFINISHED)


@app.command()
@reads_files
def append(
    data: Annotated[
        str,
        typer.Argument(
            envvar="EXPUNGE_DATA", help=f"{DATA} It has the columns of the table. Other users do not see the environment."
        ),
    ],
    query: Annotated[str | None, typer.Option(help="SQL whose result is the rows.")] = None,
    returning: Annotated[bool, typer.Option(help="Accept rows of people who were forgotten and have come back.")] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="CSV file for rows that cannot be taken, with their numbers and why: not a value of the column's type, not a "
            "class, no subject, or it belongs to somebody forgotten. Without this option, such a row is an error."
        ),
    ] = None,
    upsert: Annotated[
        bool, typer.Option("--upsert", help="Replace a row in the table by one with the same row key and different values.")
    ] = False,
    accept_undeclared: AcceptUndeclared = False,
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
    reading: Reading = UNKNOWN,
) -> None:
    """Add rows to the table and learn them in every model; adding the same rows again does nothing."""
    from expunge.data.rejects import Rejects
    from expunge.workspace import Workspace
    from expunge.workspace.options import Taking

    how: Taking = {"returning": returning, "accept_undeclared": accept_undeclared, "upsert": upsert, "reading": reading}
    with progress("learning the rows", as_json):
        found = Workspace.open(workspace)
        if dry_run:
            aside = None if rejects is None else Rejects()
            show_plan(found.planned(lambda plans: plans.append(data, query, rejects=aside, **how)), as_json)
            return
        done = found.append(data, query, rejects_to=rejects, notify=notify, **how)
    result = {**done.arrived.as_json(), "releases": [described(outcome) for outcome in done.outcomes]}
    replaced = done.arrived.replaced
    message = f"{done.rows:,} rows added" + (f", {replaced:,} replaced" if replaced else "")
    show(result, as_json, lambda: print_outcomes(done.outcomes, message))


@app.command()
def process(
    now: Annotated[bool, typer.Option("--now", help="Work requests too whose hold is not over.")] = False,
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Work the queue: forget everybody who asked, in every model, certify it, and erase their rows. By hand or by cron."""
    from expunge.workspace import Workspace, queue

    with progress("working the queue", as_json):
        found = Workspace.open(workspace)
        if dry_run:
            show_plan(found.planned(lambda plans: queue.planned(plans.storage, heeds_hold=not now)), as_json)
            return
        done = found.process(notify, heeds_hold=not now)
    result = {
        "closed": done.closed,
        "problems": done.problems,
        "aside": done.aside,
        "purged": done.purged,
        "held": dict(done.held),
        "unapproved": done.unapproved,
        "lifted": list(done.lifted),
        "releases": [described(outcome) for outcome in done.outcomes],
    }

    def text() -> None:
        print_outcomes(done.outcomes, f"{done.closed:,} requests closed")
        if done.lifted:
            console.print(f"{len(done.lifted):,} restrictions have ended", highlight=False)
        if done.purged:
            console.print(f"{done.purged:,} tombstones were deleted: their term is over", highlight=False)
        if done.held:
            first = min(done.held.values())
            console.print(
                f"{len(done.held):,} requests can still be withdrawn, and wait, the first until {first[:16].replace('T', ' ')} "
                "UTC. expunge process --now works them at once",
                highlight=False,
            )
        if done.unapproved:
            console.print(f"{done.unapproved:,} requests wait for a second person's approval", highlight=False)
        for request, problem in done.problems.items():
            console.print(f"{request} could not be worked: {problem}", highlight=False)
        for name, reason in done.aside.items():
            console.print(
                f"{name} is set aside, and requests wait for it: {reason}. Fix the cause, or run expunge replace "
                f"{name} or expunge retire {name}",
                highlight=False,
            )

    show(result, as_json, text)
    if done.problems or done.aside:
        raise typer.Exit(REFUSED)


@app.command()
def status(workspace: InWorkspace = HERE, as_json: AsJson = False) -> None:
    """Where everything stands: requests and their deadlines, models, and what still depends on people forgotten."""
    from expunge.workspace.status import status as found_status
    from expunge.workspace.storage import Storage

    with progress("reading the ledger", as_json):
        found = found_status(Storage(workspace))

    def text() -> None:
        counted = ", ".join(f"{count:,} {state}" for state, count in found.requests.items() if count) or "none yet"
        console.print(f"{found.rows:,} rows. Requests: {counted}", highlight=False)
        waiting = [f"{count:,} {MATTERS[matter]}" for matter, count in found.matters.items() if count and matter in MATTERS]
        if waiting:
            console.print(f"Of the open ones: {', '.join(waiting)}", highlight=False)
        if found.open:
            table = Table(title="Open requests, most urgent first")
            for heading in ("request", "kind", "state", "days left", "problem"):
                table.add_column(heading)
            for row in found.open:
                table.add_row(row.request, row.kind, row.state, str(row.days_left), row.problem or "")
            console.print(table)
        if found.models:
            table = Table(title="Models")
            for heading in ("model", "predicts", "release", "rung", "ε promised", "ε spent", "rows", "refit due"):
                table.add_column(heading)
            for model in found.models:
                numbers = [f"{number:.3g}" for number in (model.epsilon, model.epsilon_total)]
                rows = f"{model.remaining:,.0f}"
                due = "" if model.next_refit is None else model.next_refit.when
                table.add_row(model.name, model.target, str(model.release), model.rung, *numbers, rows, due)
            others = [f"{model.name}: {model.kind.weighed}" for model in found.models if model.kind.weighed != "rows"]
            table.caption = f"not rows but, of {', of '.join(others)}" if others else None
            console.print(table)
        for model in found.models:
            if model.refits:
                console.print(f"{model.name}: {model.refits}", highlight=False)
        for model in found.models:
            if model.aside is not None:
                console.print(f"{model.name} is set aside, and requests wait for it: {model.aside}", highlight=False)
        for derived in found.still_derived:
            until = f"until {derived.goes[:10]}" if derived.goes else "until that is fixed, as expunge doctor says"
            console.print(f"{derived.what} still depends on people forgotten, {until}", highlight=False)
        stones = found.tombstones
        if stones.people:
            goes = f"the first is deleted on {str(stones.first_goes)[:10]}, the last on {str(stones.last_goes)[:10]}"
            counted = f"{stones.people:,} people and {stones.other_ids:,} other ids of theirs"
            console.print(f"Tombstones (for {stones.why}): {counted}; {goes}", highlight=False)
        if found.unfinished_batches:
            console.print("a batch was interrupted; the next command that writes finishes it")
        if not found.is_anchored:
            console.print(
                "no anchor is set: an older copy of this workspace would not be noticed (expunge doctor)", highlight=False
            )

    show(found.as_json(), as_json, text)


def described(outcome: "Outcome") -> dict[str, Any]:
    """A release, as JSON values."""
    certificate = json.loads(outcome.release.certificate.to_json())
    counted = ("rung", "passes", "n_forgotten", "n_learned", "remaining")
    shown = (*counted, "distance_bound", "epsilon_total", "exposure_mu", "seconds")
    largest = max(outcome.influences.values(), default=None)
    head = {"model": outcome.model, "release": outcome.number, "certificate": outcome.id}
    return {**head, **{name: certificate[name] for name in shown}, "largest_influence": largest}


def print_outcomes(outcomes: "list[Outcome]", summary: str) -> None:
    """Prints new releases as a table."""
    if outcomes:
        table = Table(caption="largest influence: of one person, how far the weights move, in units of the noise")
        for heading in ("model", "release", "rung", "forgotten", "learned", "ε spent", "largest influence", "certificate"):
            table.add_column(heading)
        for outcome in outcomes:
            line = described(outcome)
            rung = f"{line['rung']} × {line['passes']}" if line["rung"] == Rung.PASS else line["rung"]
            influence = "" if line["largest_influence"] is None else f"{line['largest_influence']:.2g}"
            counts = [str(line[name]) for name in ("n_forgotten", "n_learned")]
            spent = f"{float(line['epsilon_total']):.2g}"
            table.add_row(line["model"], str(line["release"]), rung, *counts, spent, influence, str(line["certificate"]))
        console.print(table)
    console.print(summary, highlight=False)
