"""The page of suppression lists: those that are kept, and the forms that import and drop one."""

from collections import defaultdict
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from expunge.data.hashed_ids import HashedId
from expunge.data.lists import is_table, read_list
from expunge.ledger import tokens
from expunge.service.api.answers import workspace_of
from expunge.service.handouts import Handout
from expunge.service.pages import words
from expunge.service.pages.documents import PAPERS
from expunge.service.pages.rendering import Operator, Visitor, render
from expunge.service.records import changing
from expunge.service.routing import GuardedRoute
from expunge.workspace.suppressing import GivenList, Suppressed

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
Line = Annotated[str, Form(max_length=200)]


@router.get("/suppressions")
def lists(request: Request, caller: Visitor) -> Response:
    """The lists that are kept."""
    return _page(request)


@router.post("/suppressions")
def import_list(
    request: Request,
    caller: Operator,
    name: Line = "",
    hashed: Line = "",
    column: Line = "",
    upload: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Imports a list, and says what became of it."""
    typed = {"name": name.strip(), "hashed": hashed, "column": column}
    found = workspace_of(request).suppression
    wrong = {} if hashed in found.hashes else {"hashed": "Choose which hash the list states"}
    content = b"" if upload is None else upload.file.read()
    wrong |= {} if content else {"upload": "Choose the file with the hashes"}
    if wrong:
        return _page(request, 422, typed=typed, wrong=wrong)
    table = is_table("" if upload is None else upload.filename or "") or bool(column.strip())
    try:
        listed = read_list(content, (), table=table, column=column.strip() or None)
    except ValueError as error:
        return _page(request, 422, typed=typed, wrong={"upload": _sentence(error)})
    given = GivenList(typed["name"], HashedId.declared(hashed), listed.ids, listed.lines)
    try:
        with changing("suppressions.added", caller.holder.id, list=given.name):
            done = found.add(given, actor=caller.holder.id)
    except ValueError as error:
        field = "name" if "name" in str(error) else "upload"
        return _page(request, 422, typed=typed, wrong={field: _sentence(error)})
    return _page(request, 201, **_became(request, caller.holder.id, done))


@router.post("/suppressions/drop")
def drop(request: Request, caller: Operator, name: Line = "", confirm: Line = "") -> Response:
    """Drops a list, once that is confirmed."""
    if confirm != "yes":
        return _page(request, 422, wrong={f"drop-{name}": "Tick the box to say that the list is dropped"})
    try:
        with changing("suppressions.lifted", caller.holder.id, list=name):
            workspace_of(request).suppression.lift(name)
    except ValueError:
        pass  # somebody else has dropped it
    return RedirectResponse(f"{request.scope.get('root_path', '')}/suppressions", 303)


def _became(request: Request, actor: str, done: Suppressed) -> dict[str, Any]:
    """What the page says of a list that was imported, and the letters that can be fetched."""
    handout = Handout.of(list(done.answers))
    kept = request.app.state.handouts.keep(actor, handout) if handout.receipts else None
    return {"done": done, "accepted": len(handout.receipts), "kept": kept, "most": PAPERS}


def _sentence(error: Exception) -> str:
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}"


def _page(request: Request, status_code: int = 200, **shown: Any) -> HTMLResponse:
    found = workspace_of(request)
    with found.storage.database.reading() as connection:
        names = {token.id: token.name for token in tokens.listed(connection)}
    values: dict[str, Any] = {
        "typed": defaultdict(str),
        "wrong": {},
        "done": None,
        "kept": None,
        "words": words,
        "names": names,
    }
    values |= {"lists": found.suppression.lists(), "hashes": found.suppression.hashes}
    return render(request, "suppressions.html", status_code, **{**values, **shown})
