"""Answers about jobs, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import TypedDict

from expunge.client.answers.models import Job


class JobsPage(TypedDict):
    """Jobs, newest first; ``next`` is the ``before`` of the next page."""

    items: list[Job]
    next: int | None
