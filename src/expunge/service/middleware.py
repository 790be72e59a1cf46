"""What every call passes through on its way to its route: the path under which the service is reached, and HEAD.

What limits connections, before there is a call, is in ``connections``.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Rooted:
    """Serves under a path, whether a proxy in front takes it off the URL or not."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._root:
            await self._app(scope, receive, send)
            return
        path = str(scope["path"])
        if path != self._root and not path.startswith(f"{self._root}/"):
            path = self._root + path
        scope["path"], scope["root_path"] = path, self._root

        async def led(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                location = headers.get("location", "")
                if location.startswith("/"):
                    headers["location"] = self._root + location
            await send(message)

        await self._app(scope, receive, led)


class Heads:
    """Answers HEAD as GET, with the same headers and without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def bare(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, bare)
