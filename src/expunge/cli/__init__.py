"""The command line: ``expunge``. Thin: everything it does is a call into the library."""

from expunge.cli import (
    desk,
    evidence,
    inspection,
    models,
    people,
    predictions,
    quality,
    receipts,
    safekeeping,
    service,
    stories,
    transcripts,
    verification,
)
from expunge.cli.shared import app

__all__ = [
    "app",
    "desk",
    "evidence",
    "inspection",
    "models",
    "people",
    "predictions",
    "quality",
    "receipts",
    "safekeeping",
    "service",
    "stories",
    "transcripts",
    "verification",
]
