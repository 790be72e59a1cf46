"""The page on which anybody checks files: a certificate, a receipt, a log, two checkpoints."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.service.api.verification import keys_given, published_keys
from expunge.service.pages.rendering import Guest, render
from expunge.service.problem_types import Problem
from expunge.service.routing import OpenUploads
from expunge.service.verifying import GivenFile, examined

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=OpenUploads)
PASTED = "the text that you pasted"
LABELS = {
    "model": "Model",
    "release": "Release",
    "issued": "Issued",
    "received": "Received",
    "request": "Request",
    "covers": "Answers request",
    "epsilon": "ε promised to everybody forgotten",
    "delta": "δ of that promise",
    "events": "Events in the log",
    "earlier": "Events in the earlier file",
    "later": "Events in the later file",
    "since": "Events of an earlier log that it continues",
}
"""What is shown of the claims of a genuine file, and what it is called."""


@router.get("/verify")
def verify_page(
    request: Request,
    caller: Guest,
    about: Annotated[str | None, Query(alias="request", pattern=r"^[!-~]{1,64}$")] = None,
) -> Response:
    """The form for files to check; the code on a person's certificate leads here, and says which request it is about."""
    return _page(request, about=about)


@router.post("/verify")
def verify(
    request: Request,
    caller: Guest,
    files: Annotated[list[UploadFile] | None, File()] = None,
    text: Annotated[str, Form(max_length=4_000_000)] = "",
    keys: Annotated[UploadFile | None, File()] = None,
    subject: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """What was found out about the files. Nothing of them is kept."""
    given = [GivenFile((file.filename or "file")[:200], file.file.read()) for file in files or () if file.filename or file.size]
    if text.strip():
        given.append(GivenFile(PASTED, text.strip().encode("utf-8", "replace")))
    own = b"" if keys is None else keys.file.read()
    try:
        trusted = keys_given(own) if own else published_keys(request)
        findings = examined(_apart(given), trusted, subject.strip() or None)
    except Problem as error:
        return _page(request, error.status_code, problem=str(error.detail))
    return _page(request, findings=findings, is_own=bool(own))


def _apart(given: list[GivenFile]) -> list[GivenFile]:
    """The same files; a name that was there before gets a number."""
    seen: dict[str, int] = {}
    for file in given:
        seen[file.name] = seen.get(file.name, 0) + 1
    counts: dict[str, int] = {}
    made = []
    for file in given:
        counts[file.name] = counts.get(file.name, 0) + 1
        made.append(file if seen[file.name] == 1 else GivenFile(f"{file.name} ({counts[file.name]})", file.content))
    return made


def _page(request: Request, status_code: int = 200, **values: Any) -> Response:
    shown = {"findings": None, "is_own": False, "problem": "", "about": None, "labels": LABELS, **values}
    return render(request, "verify.html", status_code, **shown)
