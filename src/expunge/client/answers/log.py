"""Answers about log, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import Literal, TypedDict

from expunge.client.answers.certificates import Event, Proof


class Compared(TypedDict):
    """Whether the log continues it, and the newest checkpoint with the proof."""

    right: bool
    message: str
    events: int | None
    file: str | None


class Events(TypedDict):
    """Events of the log, oldest first."""

    items: list[Event]


class Inclusion(TypedDict):
    """An event, the proof that it is in the log, and the signed head to which the proof leads."""

    event: str
    proof: Proof
    checkpoint: str


class LogFile(TypedDict):
    """The whole log, to be verified offline."""

    expunge: Literal["log"]
    events: list[str]
    checkpoint: str | None
