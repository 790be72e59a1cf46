"""Webhooks over HTTP: added, listed with their deliveries, tested, given another secret, removed; as an API and as a page."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from expunge.ledger import hooks, notices, times
from expunge.ledger.hooks import Webhook
from expunge.ledger.notices import Delivery, Notice
from expunge.service.access import Caller, Engineer
from expunge.service.api.answers import problem_responses, workspace_of
from expunge.service.api.hook_bodies import DeliveriesModel, QueuedModel, SecretModel, WebhookModel, WebhooksModel
from expunge.service.bodies import Hooked, Identity, Limit
from expunge.service.pages.rendering import Engineer as Visitor
from expunge.service.pages.rendering import render
from expunge.service.records import changed, changing
from expunge.service.routing import GuardedRoute
from expunge.service.targets import UnusableURL, require_callable, require_mail

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)
page_router = APIRouter(include_in_schema=False, route_class=GuardedRoute)
SHOWN = 20
MAIL = "mailto:"


@router.get("/webhooks", response_model=WebhooksModel)
def list_webhooks(request: Request, _caller: Engineer) -> dict[str, Any]:
    """The webhooks, each with how many deliveries wait and how its last one went."""
    return {"items": [_view(hook, made) for hook, made in _listed(request, 500)]}


@router.post("/webhooks", status_code=201, response_model=SecretModel)
def create_webhook(asked: Hooked, request: Request, response: Response, caller: Engineer) -> dict[str, Any]:
    """Tells a URL what happens from now on; the secret that signs deliveries is shown once. An e-mail has none."""
    identity, secret = _add(request, asked.url, caller)
    response.headers["Location"] = f"/v1/webhooks/{identity}"
    return {"webhook": identity, "secret": secret}


@router.get("/webhooks/{webhook}", response_model=WebhookModel)
def get_webhook(webhook: Identity, request: Request, _caller: Engineer) -> dict[str, Any]:
    """A webhook, with how many deliveries wait and how its last one went."""
    found = next((_view(hook, made) for hook, made in _listed(request, 500) if hook.id == webhook), None)
    if found is None:
        raise _unknown(webhook)
    return found


@router.get("/webhooks/{webhook}/deliveries", response_model=DeliveriesModel)
def list_deliveries(webhook: Identity, request: Request, _caller: Engineer, limit: Limit = 50) -> dict[str, Any]:
    """What a webhook was told and what it is still to be told, newest first, with attempts and outcomes."""
    with workspace_of(request).storage.database.reading() as connection:
        if webhook not in [hook.id for hook in hooks.listed(connection)]:
            raise _unknown(webhook)
        return {"items": [_delivery(row) for row in notices.listed(connection, webhook, limit)]}


@router.post("/webhooks/{webhook}/test", status_code=202, response_model=QueuedModel)
def try_webhook(webhook: Identity, request: Request, response: Response, _caller: Engineer) -> dict[str, str]:
    """Queues the event ``webhook.test`` for a webhook; its deliveries say how it went."""
    _test(request, webhook)
    response.headers["Location"] = f"/v1/webhooks/{webhook}/deliveries"
    return {"webhook": webhook}


@router.post("/webhooks/{webhook}/rotate", response_model=SecretModel)
def rotate_webhook(webhook: Identity, request: Request, caller: Engineer) -> dict[str, Any]:
    """Gives a webhook another secret, shown once, which signs every delivery from now on, those that wait too."""
    return {"webhook": webhook, "secret": _rotate(request, webhook, caller)}


@router.delete("/webhooks/{webhook}", status_code=204, response_class=Response)
def delete_webhook(webhook: Identity, request: Request, caller: Engineer) -> None:
    """Tells it nothing any more."""
    _remove(request, webhook, caller)


@page_router.get("/webhooks")
def webhook_page(request: Request, caller: Visitor) -> Response:
    """All webhooks, with their newest deliveries."""
    return _page(request)


@page_router.post("/webhooks")
def add_webhook(request: Request, caller: Visitor, url: Annotated[str, Form(max_length=2000)] = "") -> Response:
    """Adds a webhook and shows its secret."""
    try:
        identity, secret = _add(request, url.strip(), caller)
    except HTTPException as error:
        return _page(request, error.status_code, problem=str(error.detail), url=url)
    return _page(request, 201, made=identity, secret=secret)


@page_router.post("/webhooks/{webhook}/test")
def try_on_page(request: Request, caller: Visitor, webhook: Identity) -> Response:
    """Queues a test."""
    _test(request, webhook)
    return RedirectResponse("/webhooks", 303)


@page_router.post("/webhooks/{webhook}/rotate")
def rotate_on_page(request: Request, caller: Visitor, webhook: Identity) -> Response:
    """Gives a webhook another secret and shows it."""
    return _page(request, made=webhook, secret=_rotate(request, webhook, caller))


@page_router.post("/webhooks/{webhook}/delete")
def delete_on_page(request: Request, caller: Visitor, webhook: Identity) -> Response:
    """Removes a webhook."""
    _remove(request, webhook, caller)
    return RedirectResponse("/webhooks", 303)


def _page(request: Request, status_code: int = 200, **shown: Any) -> Response:
    rows = [(_view(hook, made), [_delivery(row) for row in made]) for hook, made in _listed(request, SHOWN)]
    values = {"problem": "", "url": "", "made": None, "secret": None, **shown}
    return render(request, "webhooks.html", status_code, rows=rows, **values)


def _listed(request: Request, limit: int) -> list[tuple[Webhook, list[Delivery]]]:
    with workspace_of(request).storage.database.reading() as connection:
        return [(hook, notices.listed(connection, hook.id, limit)) for hook in hooks.listed(connection)]


def _view(hook: Webhook, made: list[Delivery]) -> dict[str, Any]:
    last = next((row for row in made if row.outcome is not None), None)
    waiting = sum(row.due is not None for row in made)
    about = {"webhook": hook.id, "url": hook.url, "created": hook.created, "waiting": waiting}
    return {**about, "outcome": None if last is None else last.outcome, "signed": not hook.url.startswith(MAIL)}


def _delivery(row: Delivery) -> dict[str, Any]:
    names = ("event", "queued", "attempts", "due", "outcome")
    return {"delivery": row.id, **{name: getattr(row, name) for name in names}}


def _add(request: Request, url: str, caller: Caller) -> tuple[str, str | None]:
    storage = workspace_of(request).storage
    is_mail = url.startswith(MAIL)
    try:
        require_mail(url) if is_mail else require_callable(url, storage.configuration.networks)
    except UnusableURL as error:
        raise HTTPException(422, str(error)) from None
    if is_mail and not (storage.configuration.smtp and storage.configuration.mail_from):
        raise HTTPException(422, "e-mails need an SMTP server: set smtp and mail_from in workspace.toml")
    started = time.perf_counter()
    with storage.database.writing() as connection:
        identity, secret = hooks.add(connection, url, times.exact(), caller.holder.id)
    changed("webhook.added", caller.holder.id, time.perf_counter() - started, webhook=identity)
    return identity, None if is_mail else secret


def _test(request: Request, webhook: str) -> None:
    with workspace_of(request).storage.database.writing() as connection:
        if webhook not in [hook.id for hook in hooks.listed(connection)]:
            raise _unknown(webhook)
        notices.announce(connection, Notice.TEST, {}, only=webhook)


def _rotate(request: Request, webhook: str, caller: Caller) -> str:
    with (
        changing("webhook.rotated", caller.holder.id, webhook=webhook),
        workspace_of(request).storage.database.writing() as connection,
    ):
        found = next((hook for hook in hooks.listed(connection) if hook.id == webhook), None)
        if found is not None and found.url.startswith(MAIL):
            raise HTTPException(422, "an e-mail is not signed, so it has no secret")
        secret = hooks.rotate(connection, webhook, caller.holder.id)
        if secret is None:
            raise _unknown(webhook)
    return secret


def _remove(request: Request, webhook: str, caller: Caller) -> None:
    with (
        changing("webhook.removed", caller.holder.id, webhook=webhook),
        workspace_of(request).storage.database.writing() as connection,
    ):
        if not hooks.remove(connection, webhook, caller.holder.id):
            raise _unknown(webhook)
    request.app.state.worker.faults.over(f"webhook {webhook}")


def _unknown(webhook: str) -> HTTPException:
    return HTTPException(404, f"there is no webhook {webhook!r}")
