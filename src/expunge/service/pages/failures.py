"""The pages of failures: what went wrong in plain words, and what to do."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.service.api.answers import found
from expunge.service.pages.rendering import Guest, render
from expunge.service.problem_types import TYPES
from expunge.service.problems import Failure
from expunge.service.routing import GuardedRoute

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)


@dataclass(frozen=True)
class Told:
    """What people are told of a failure, besides what happened."""

    heading: str
    advice: str


OF_TYPE = {
    "form-out-of-date": Told("This form is out of date", "Nothing was changed. Open the page again, and send the form again."),
    "too-many-wrong-tokens": Told("Too many wrong tokens", "Wait a minute, check the token, and log in again."),
    "stopping": Told("The service is being restarted", "Wait half a minute. Requests that were confirmed are kept."),
    "busy": Told("Somebody else is working on this", "Nothing was changed. Wait a little, and try again."),
}
OF_STATUS = {
    400: Told("This cannot be read", "Nothing was changed. Open the page again, and send the form again."),
    403: Told("Your role may not do this", "Log out and log in with another token, or ask the person who issues the tokens."),
    404: Told("There is nothing here", "Check the address, or look for it in the lists."),
    405: Told("This page is not opened this way", "Open it from the menu."),
    409: Told("This is not possible now", "Nothing was changed. Read the reason above."),
    413: Told("This is too long", "Nothing was changed. Divide the file or the list into parts of at most 4 MB."),
    422: Told("Something is missing or wrong", "Nothing was changed. Open the page again, correct it, and send it again."),
    429: Told("Too many calls", "Wait a minute, and try again."),
    503: Told("The service cannot work now", "Nothing was changed. Try again soon, or tell whoever runs the service."),
}
OTHER = Told("Something went wrong", "Try again, or tell whoever runs the service.")


def failure_page(request: Request, failure: Failure) -> Response:
    """The page that tells people of a failure."""
    told = OF_TYPE.get(failure.type.name) or OF_STATUS.get(failure.type.status, OTHER)
    detail = failure.type.title if failure.errors else failure.detail
    detail = f"{detail[:1].upper()}{detail[1:]}".rstrip(".") + "."
    page = render(request, "failure.html", failure.type.status, told=told, detail=detail, errors=failure.errors)
    page.headers.update(failure.headers)
    return page


@router.get("/problems")
def problem_list(request: Request, caller: Guest) -> Response:
    """All types of problems of the API."""
    return render(request, "problems.html", types=list(TYPES.values()))


@router.get("/problems/{name}")
def problem_page(request: Request, caller: Guest, name: str) -> Response:
    """A type of problems: what it means, and what to do."""
    return render(request, "problems.html", types=[found(TYPES.get(name), "such type of problems")])
