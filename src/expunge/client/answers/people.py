"""Answers about people, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import TypedDict


class Disclosure(TypedDict):
    """What is held about a person."""

    rows: list[dict[str, str | bool | int | float | None]]
    models: list[Learned]
    restrictions: list[Restriction]


class Learned(TypedDict):
    """A model that learned some of a person's rows, and the certificates of its releases, each of which may hold them."""

    model: str
    target: str
    n_rows: int
    releases: list[int]
    at: str


class Restriction(TypedDict):
    """A restriction of the processing of a person's data that stands or was asked for."""

    request: str
    state: str
    ground: str | None
    since: str | None
