"""Answers about verification, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import TypedDict

from expunge.client.json_values import Json


class FileFinding(TypedDict):
    """What was found out about a file, or about two states of the log that were compared."""

    files: list[str]
    kind: str | None
    genuine: bool
    passed: list[str]
    problem: str | None
    claims: dict[str, Json]


class Verified(TypedDict):
    """What was found out, by the workspace's published keys or by those given."""

    keys: str
    right: bool
    findings: list[FileFinding]
