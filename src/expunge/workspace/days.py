"""Days as people read them: 3 Nov 2026."""

import re
from datetime import date

_ISO = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")


def day(text: str) -> str:
    """A day, from an ISO 8601 day or time.

    Args:
        text: an ISO 8601 day or time.

    Examples:
        >>> day("2026-11-03T10:00:00+00:00")
        '3 Nov 2026'
    """
    found = date.fromisoformat(text[:10])
    return f"{found.day} {found:%b %Y}"


def with_days(text: str) -> str:
    """A sentence whose ISO 8601 days are written as people read them.

    Args:
        text: the sentence.

    Examples:
        >>> with_days("accepted; to be closed by 2026-12-28")
        'accepted; to be closed by 28 Dec 2026'
    """
    return _ISO.sub(lambda found: day(found[0]), text)
