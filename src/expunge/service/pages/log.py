"""The pages of the signed log: its events, the proof that one is in it, and the comparison with a checkpoint that was kept."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Query, Request, UploadFile
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.evidence.events import EventKind
from expunge.ledger import excerpts, log
from expunge.ledger.events import Event
from expunge.service.api.answers import workspace_of
from expunge.service.bodies import Number
from expunge.service.comparing import compared
from expunge.service.event_words import WORDS, in_words
from expunge.service.pages.rendering import Visitor, render
from expunge.service.routing import GuardedRoute

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
SHOWN = 50
Day = Annotated[str, Query(max_length=10)]


@router.get("/log")
def log_page(
    request: Request,
    caller: Visitor,
    kind: Annotated[str, Query(max_length=64)] = "",
    since: Day = "",
    until: Day = "",
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> Response:
    """Events, newest first, of one kind or all, from one day to another."""
    return _page(request, kind=kind, since=since, until=until, before=before)


@router.post("/log/compare")
def compare(
    request: Request,
    caller: Visitor,
    upload: Annotated[UploadFile | None, File()] = None,
    text: Annotated[str, Form(max_length=4_000_000)] = "",
) -> Response:
    """Whether the log continues the checkpoint that somebody kept."""
    content = b"" if upload is None else upload.file.read()
    kept = content.decode("utf-8", "replace") or text.strip()
    if not kept:
        return _page(request, 422, missing="Choose the file of the checkpoint that you kept, or paste its text.")
    return _page(request, result=compared(workspace_of(request).storage, kept))


@router.get("/log/{seq}")
def event_page(request: Request, caller: Visitor, seq: Number) -> Response:
    """An event, exactly as it was signed, and the proof that it is in the log."""
    with workspace_of(request).storage.database.reading() as connection:
        found = log.prove_inclusion(connection, seq)
    if found is None:
        raise HTTPException(404, f"there is no event {seq} under a signed checkpoint")
    event = Event.of(found.event)
    shown: dict[str, Any] = {"seq": seq, "event": event, "said": in_words(event.content.get("kind")), "entry": found.event}
    return render(request, "event.html", **shown, proof=found.proof)


def _page(request: Request, status_code: int = 200, **values: Any) -> Response:
    asked: dict[str, Any] = {"kind": "", "since": "", "until": "", "before": None, **values}
    wanted = EventKind(asked["kind"]) if asked["kind"] in set(EventKind) else None
    first, last, problem = 1, 2**53, ""
    with workspace_of(request).storage.database.reading() as connection:
        try:
            if asked["since"]:
                first = excerpts.first_since(connection, _start(asked["since"]))
            if asked["until"]:
                last = excerpts.first_since(connection, _start(asked["until"], timedelta(days=1))) - 1
        except ValueError:
            status_code, problem, last = 422, "Write the days like 2026-11-03.", 0
        newest = min(last, asked["before"] - 1 if asked["before"] else last)
        rows = excerpts.newest_entries(connection, wanted, (first, newest), SHOWN + 1)
        size, signed = log.size(connection), log.checkpoint(connection)
    more = rows[SHOWN - 1].content["seq"] if len(rows) > SHOWN else None
    shown: dict[str, Any] = {
        "rows": [(event, in_words(event.content["kind"]), _about(event)) for event in rows[:SHOWN]],
        "more": more,
    }
    return render(
        request,
        "log.html",
        status_code,
        **{"result": None, "missing": "", **asked, **shown},
        words=WORDS,
        problem=problem,
        size=size,
        is_signed=signed is not None,
    )


def _start(day: str, later: timedelta = timedelta()) -> str:
    """The first moment of a day, or of one ``later``, in UTC."""
    return (datetime.combine(date.fromisoformat(day), time(), UTC) + later).isoformat()


def _about(event: Event) -> str:
    """What an event says besides its number, time and kind, in a line."""
    said = {name: value for name, value in event.content.items() if name not in ("seq", "at", "kind")}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items() if not isinstance(value, list | dict))
