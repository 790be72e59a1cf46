"""The command line: ``expunge``. Thin: everything it does is a call into the library."""

from expunge.cli import (
    asking,
    casework,
    desk,
    evidence,
    inspection,
    models,
    people,
    predictions,
    quality,
    receipts,
    register,
    safekeeping,
    service,
    stories,
    suppression,
    transcripts,
    verification,
)
from expunge.cli.shared import app

__all__ = [
    "app",
    "asking",
    "casework",
    "desk",
    "evidence",
    "inspection",
    "models",
    "people",
    "predictions",
    "quality",
    "receipts",
    "register",
    "safekeeping",
    "service",
    "stories",
    "suppression",
    "transcripts",
    "verification",
]
