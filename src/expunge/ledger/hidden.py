"""Hidden text: a secret that comes out of the ledger unchanged, and does not show when a row is printed."""

from typing import Any

import sqlalchemy as sa


class HiddenText(str):
    """A text whose ``repr`` does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Hidden(sa.types.TypeDecorator[str]):
    """A column of secrets."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        """The secret as it leaves the database."""
        return None if value is None else HiddenText(value)
