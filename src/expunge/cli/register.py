"""The command that lists requests."""

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from expunge.cli.shared import HERE, AsJson, InWorkspace, app, console, given_subject, progress, refusing, show
from expunge.files import write_output

if TYPE_CHECKING:
    from expunge.ledger.register import Filter

Chosen = TypeVar("Chosen", bound=StrEnum)


@app.command(name="requests")
def list_requests(
    state: Annotated[
        str | None,
        typer.Option(
            help="accepted, working, certified, closed, returned, cancelled or refused; restricted, lifting or lifted."
        ),
    ] = None,
    matter: Annotated[str | None, typer.Option(help="overdue, due (this week), stuck, approval, held or open.")] = None,
    kind: Annotated[str | None, typer.Option(help="forget, rectify or restrict.")] = None,
    channel: Annotated[str | None, typer.Option(help="letter, email, form, telephone, in-person or other.")] = None,
    since: Annotated[str | None, typer.Option(help="First day of receipt, such as 2026-11-03.")] = None,
    until: Annotated[str | None, typer.Option(help="Last day of receipt.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="All requests about the person with this id instead; - reads it from standard input.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Column of the id. Default: any.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Those with this reference, or whose id begins so, instead; - reads standard input.")
    ] = None,
    sort: Annotated[str, typer.Option(help="newest, oldest, due or closed.")] = "newest",
    page: Annotated[int, typer.Option(min=1, help="Which part of the list.")] = 1,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Requests in one part.")] = 50,
    out: Annotated[
        Path | None, typer.Option(help="A CSV file for all that are wanted: the evidence of how requests were handled.")
    ] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """List requests: filtered, sorted, page by page, or those of a person; --out writes the register as CSV, without any id."""
    from expunge.ledger import register
    from expunge.ledger.register import Sort
    from expunge.workspace.register import Summary, about, as_csv
    from expunge.workspace.storage import Storage

    order, wanted = word(Sort, sort, "--sort"), _filter(state, matter, kind, channel, since, until)
    storage = Storage(workspace)
    with progress("reading the ledger", as_json), refusing(as_json):
        if subject is not None:
            rows = about(storage, given_subject(subject), by)
            total = len(rows)
        else:
            with storage.database.reading() as connection:
                if reference is not None:
                    rows = register.called(connection, given_subject(reference).strip(), limit)
                    total = len(rows)
                else:
                    rows = register.listed(connection, wanted, order, limit, skip=(page - 1) * limit)
                    total = register.total(connection, wanted)
        if out is not None:
            write_output(out, "".join(as_csv(storage, wanted)).encode())
    items = [vars(Summary.of(row)) for row in rows]
    result = {"items": items, "total": total, "page": page, "out": None if out is None else str(out)}

    def text() -> None:
        table = Table()
        for heading in ("request", "kind", "state", "received", "due", "days left"):
            table.add_column(heading)
        for row in items:
            left = str(row["days_left"]) if row["closed"] is None else ""
            table.add_row(row["id"], row["kind"], row["state"], row["received_on"], row["deadline"][:10], left)
        console.print(table)
        console.print(f"{len(rows):,} of {total:,}" + (f"; written to {out}" if out is not None else ""), highlight=False)

    show(result, as_json, text)


def _filter(
    state: str | None, matter: str | None, kind: str | None, channel: str | None, since: str | None, until: str | None
) -> "Filter":
    """The filter that the options describe."""
    from expunge.ledger.register import Filter, Matter
    from expunge.ledger.requests import Channel, RequestKind, RequestState

    return Filter(
        None if state is None else word(RequestState, state, "--state"),
        None if kind is None else word(RequestKind, kind, "--kind"),
        None if channel is None else word(Channel, channel, "--channel"),
        None if matter is None else word(Matter, matter, "--matter"),
        _day(since, "--since"),
        _day(until, "--until"),
    )


def word(words: type[Chosen], given: str, option: str) -> Chosen:
    """The word that was given.

    Raises:
        ValueError: there is no such word.
    """
    if given not in tuple(words):
        raise ValueError(f"{option} must be one of {', '.join(words)}, got {given!r}")
    return words(given)


def _day(given: str | None, option: str) -> date | None:
    try:
        return None if given is None else date.fromisoformat(given)
    except ValueError:
        raise ValueError(f"{option} must be a day such as 2026-11-03, got {given!r}") from None
