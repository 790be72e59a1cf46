"""The pages of new requests: entered, checked, and made exactly as they were shown."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from expunge.data.lists import is_table
from expunge.data.near import MEANING
from expunge.errors import Refusal
from expunge.ledger import times
from expunge.ledger.requests import Basis, RequestKind
from expunge.service.api.answers import workspace_of
from expunge.service.bodies import BULK
from expunge.service.drafts import SEPARATORS, Draft, Given
from expunge.service.handouts import Handout
from expunge.service.pages import words
from expunge.service.pages.documents import PAPERS
from expunge.service.pages.rendering import Operator, render
from expunge.service.routing import GuardedRoute
from expunge.service.shelf import MINUTES
from expunge.service.views import expected
from expunge.workspace import desk
from expunge.workspace.asking import Answer, ForgetRequest
from expunge.workspace.cases import Case, WrongField, basis
from expunge.workspace.days import day, with_days
from expunge.workspace.deadlines import FARTHEST

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
GONE = f"What was shown is kept for {MINUTES} minutes, and not across a restart of the service: enter the ids again."
Text = Annotated[str, Form(max_length=200_000)]
LISTED = 20
"""Number of ids that are named where many share an answer."""
RUNGS = {"exact": "exactly, at once", "statistics": "from sums that are kept, at once", "pass": "by reading all rows"}
REFIT = "by a new fit"


@dataclass(frozen=True)
class Group:
    """The ids of a draft that get the same answer.

    Args:
        heading: the answer.
        lines: where each id was given, and what is said of it alone.
        count: number of ids.
        is_good: whether they are to be forgotten.
    """

    heading: str
    lines: tuple[tuple[str, str], ...]
    count: int
    is_good: bool


@router.get("/requests/new")
def new_request(request: Request, caller: Operator) -> Response:
    """The form for new requests."""
    return _new(request)


@router.post("/requests/preview")
def preview(
    request: Request,
    caller: Operator,
    subject: Annotated[str, Form(max_length=2_000_000)] = "",
    upload: Annotated[UploadFile | None, File()] = None,
    by: Annotated[str, Form(max_length=200)] = "",
    heading: Annotated[str, Form(max_length=3)] = "",
    column: Annotated[str, Form(max_length=200)] = "",
    separator: Annotated[str, Form(max_length=20)] = "",
    received_on: Annotated[str, Form(max_length=40)] = "",
    channel: Annotated[str, Form(max_length=20)] = "",
    reference: Text = "",
    checked_by: Text = "",
    note: Text = "",
    kind: Annotated[str, Form(max_length=20)] = "",
    ground: Annotated[str, Form(max_length=20)] = "",
    draft: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """What the requests would affect, before they are made; a ``draft`` is one that was shown, to be read differently."""
    typed = {"subject": subject, "by": by, "heading": heading, "column": column, "separator": separator}
    typed |= {"received_on": received_on, "channel": channel, "reference": reference, "checked_by": checked_by, "note": note}
    typed |= {"kind": kind, "ground": ground}
    if draft:
        shown = request.app.state.drafts.take(caller.holder.id, draft)
        if shown is None:
            return _new(request, wrong={"subject": GONE})
        given = replace(shown.given, by=by, heading=heading, column=column, separator=separator)
        typed |= {"subject": given.typed}
    else:
        try:
            case = Case.read(received_on, channel, reference, checked_by, note)
            asked, why = _asked(kind, ground)
        except WrongField as error:
            return _new(request, typed, {error.field: f"{str(error)[:1].upper()}{str(error)[1:]}"})
        content = b"" if upload is None else upload.file.read()
        name = "" if upload is None else upload.filename or ""
        given = Given(subject, content, is_table(name), by, heading, column, separator, case, asked, why)
    try:
        made = given.read(workspace_of(request).id_columns)
    except ValueError as error:
        return _new(request, typed, {"upload": f"{str(error)[:1].upper()}{str(error)[1:]}"})
    if not made.entries and made.unclear is None:
        return _new(request, typed, {"subject": "Give at least one id, or a file with one id per line."})
    if len(made.entries) > BULK:
        return _new(request, typed, {"upload": f"At most {BULK:,} people at once; there are {len(made.entries):,}."})
    touched = _touched(request, made, caller.holder.id)
    kept = request.app.state.drafts.keep(caller.holder.id, made)
    return render(request, "preview.html", 422 if made.unclear else 200, kept=kept, **touched)


@router.post("/requests")
async def make_requests(request: Request, caller: Operator, draft: Annotated[str, Form(max_length=64)] = "") -> Response:
    """Makes the requests that were shown, and shows the receipts."""
    made: Draft | None = request.app.state.drafts.take(caller.holder.id, draft)
    if made is None or made.unclear is not None:
        return await run_in_threadpool(_new, request, None, {"subject": GONE})
    answers: list[Answer] = await request.app.state.intake.ask(_wishes(made, caller.holder.id))
    pairs = list(zip([entry.text for entry in made.entries], answers, strict=True))
    handout = Handout.of(answers)
    kept = request.app.state.handouts.keep(caller.holder.id, handout) if handout.receipts else None
    shown = {"pairs": pairs, "accepted": len(handout.receipts), "kept": kept, "most": PAPERS, "words": words}
    return render(request, "receipts.html", 201, **shown)


def _new(request: Request, typed: dict[str, str] | None = None, wrong: dict[str, str] | None = None) -> HTMLResponse:
    """The form for new requests, with what was typed and what was wrong with it."""
    values: dict[str, Any] = {"typed": defaultdict(str, typed or {}), "wrong": wrong or {}, "words": words}
    values |= {"today": times.now().date().isoformat(), "latest": (times.now() + FARTHEST).date().isoformat()}
    values |= {"separators": SEPARATORS, "id_columns": workspace_of(request).id_columns, "file_headings": ()}
    return render(request, "new.html", 422 if wrong else 200, **values)


def _wishes(made: Draft, actor: str) -> list[ForgetRequest]:
    given = made.given
    return [
        ForgetRequest(entry.text, actor, by=entry.by, case=given.case, kind=given.kind, ground=given.ground)
        for entry in made.entries
    ]


def _asked(kind: str, ground: str) -> tuple[RequestKind, Basis | None]:
    """What is asked for, and of a restriction why.

    Raises:
        WrongField: there is no such kind or ground, or a ground was given for something else.
    """
    if kind and kind not in words.ENTERED:
        raise WrongField("kind", "choose what is asked for")
    asked, why = RequestKind(kind or RequestKind.FORGET), basis(ground)
    if why is not None and asked != RequestKind.RESTRICT:
        raise WrongField("ground", "a ground belongs to a restriction: choose that, or no ground")
    return asked, why


def _touched(request: Request, made: Draft, actor: str) -> dict[str, Any]:
    """What the requests of a draft would affect."""
    workspace, state = workspace_of(request), request.app.state
    wishes = desk.together(workspace.storage, _wishes(made, actor))
    answers = desk.ask(workspace.storage, wishes, dry_run=True) if wishes else []
    rows = sum(answer.rows for answer in answers)
    models = [
        {"name": row["model"], "how": RUNGS.get(row["rung"], REFIT), "seconds": row["seconds"]} for row in expected(state, rows)
    ]
    settings = workspace.storage.configuration
    return {
        "draft": made,
        "groups": _groups(made, answers),
        "count": sum(answer.receipt is not None for answer in answers),
        "rows": rows,
        "deadline": next((answer.deadline for answer in answers if answer.receipt is not None), None),
        "models": models if rows else [],
        "needs_approval": bool(wishes) and wishes[0].lot is not None,
        "hold": settings.hold_hours,
        "id_columns": workspace.id_columns,
        "separators": SEPARATORS,
        "words": words,
    }


def _groups(made: Draft, answers: list[Answer]) -> list[Group]:
    """The ids by what is answered, those to be forgotten first."""
    found: dict[str, list[tuple[str, str]]] = {}
    found_here = FOUND[made.given.kind]
    for entry, answer in zip(made.entries, answers, strict=True):
        heading, more = _heading(answer, found_here)
        found.setdefault(heading, []).append((entry.where, more))
    order = [found_here, *(heading for heading in found if heading != found_here)]
    return [
        Group(heading, tuple(found[heading][:LISTED]), len(found[heading]), heading == found_here)
        for heading in order
        if heading in found
    ]


FOUND = {
    RequestKind.FORGET: "found, and to be forgotten",
    RequestKind.RESTRICT: "found; the processing of their data is to be restricted",
}
BEFORE = "asked before"


def _heading(answer: Answer, found_here: str) -> tuple[str, str]:
    """Under which heading an answer is listed, and what is said of this one; ``found_here`` is that of people found."""
    if answer.receipt is not None:
        return found_here, f"{answer.rows:,} {'row' if answer.rows == 1 else 'rows'}"
    if not answer.is_refused:
        return BEFORE, with_days(answer.message)
    if answer.reason == Refusal.UNKNOWN_SUBJECT:
        if answer.near is not None:
            return "not known here, but nearly", f"somebody has, or had, {MEANING[answer.near]}"
        return "not known here", ""
    if answer.reason == Refusal.ALREADY_FORGOTTEN:
        return "already forgotten", day(answer.message.rpartition("closed on ")[2])
    return words.CODES.get(str(answer.reason), answer.message), ""
