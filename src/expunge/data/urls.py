"""Database URLs, which may contain a password: it is never shown."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa


def sqlite_url(file: Path) -> "sa.URL":
    """The URL of an SQLite database, in whose path every character is literal."""
    import sqlalchemy as sa

    return sa.URL.create("sqlite", database=str(file))


def database_url(text: "str | sa.URL") -> "sa.URL":
    """The URL in ``text``, as SQLAlchemy writes it.

    Raises:
        ValueError: it cannot be read; the message never quotes it.
    """
    import sqlalchemy as sa

    if isinstance(text, sa.URL):
        return text
    is_doubtful = text.partition("://")[2].partition("/")[0].count("@") > 1  # part of a password would be taken for the host
    try:
        url = None if is_doubtful else sa.engine.make_url(text)
        if url is not None:
            url.get_dialect()
    except (sa.exc.ArgumentError, ImportError, ValueError):
        url = None
    if url is None:
        raise ValueError(
            "the database URL cannot be read: write it as postgresql+psycopg://user@host/name, with %40 for @, %2F for / and "
            "%3A for : in a password"
        ) from None
    return url


def shown(url: "sa.URL") -> str:
    """``url`` for people, without a password."""
    return url.set(query={}).render_as_string(hide_password=True)


def without_password(message: str, url: "sa.URL") -> str:
    """A driver's message, with the password removed."""
    for secret in filter(None, (url.password, url.query.get("password"))):
        message = message.replace(str(secret), "***")
    return message
