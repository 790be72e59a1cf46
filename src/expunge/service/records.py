"""Records: what the service changes, in its own log: what happened, who did it, how long it took; never an id of a person.

A record is a line for people, or with ``expunge serve --json-log`` a JSON object a line, for programs that collect logs.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger("expunge.service.changes")

WORKER = "worker"
"""The actor of what happens without anybody's token."""


def changed(event: str, actor: str, seconds: float, **about: object) -> None:
    """Records a change of state.

    Args:
        event: what happened, in the words of the signed log and of webhooks.
        actor: id of the token of whoever did it, or ``WORKER``.
        seconds: how long it took.
        about: numbers and ids of requests, models, webhooks; never what identifies a person.
    """
    record = {"event": event, "actor": actor, "seconds": round(seconds, 3), **about}
    log.info(" ".join(f"{name}={value}" for name, value in record.items()), extra={"record": record})


@contextmanager
def changing(event: str, actor: str, **about: object) -> Iterator[None]:
    """Records a change of state when its block has ended without an error."""
    started = time.perf_counter()
    yield
    changed(event, actor, time.perf_counter() - started, **about)


class JsonLines(logging.Formatter):
    """Every message as a JSON object a line; of a record, its values are members."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        about = getattr(record, "record", None) or {"message": record.getMessage()}
        return json.dumps({"at": at, "level": record.levelname.lower(), "logger": record.name, **about})


def configuration(*, as_json: bool) -> dict[str, Any]:
    """How a service that runs alone writes its log: to the standard error stream, with every change of state."""
    text = {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    loggers = {name: {"handlers": ["lines"], "level": "INFO", "propagate": False} for name in ("uvicorn", "expunge.service")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": JsonLines} if as_json else text},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"}},
        "loggers": loggers,
    }
