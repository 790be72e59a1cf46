"""Answers about suppressions, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import TypedDict

from expunge.client.answers.requests import Answer


class Suppressed(TypedDict):
    """What became of a list."""

    name: str
    column: str
    entries: int
    new: int
    several: int
    unmatched: int
    answers: list[Answer]


class SuppressionList(TypedDict):
    """A list that is kept."""

    name: str
    column: str
    entries: int
    imported: str
    actor: str | None
    matched: int | None
    applied: str | None


class SuppressionLists(TypedDict):
    """The lists that are kept."""

    items: list[SuppressionList]
