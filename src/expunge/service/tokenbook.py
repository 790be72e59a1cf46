"""The book of tokens: those that live, as the ledger had them a moment ago, so that a call seldom has to ask the ledger.

Calls with unknown tokens, of which anybody can make many, share their looks at the ledger: at most one in ``PAUSE``.
"""

import asyncio
import time
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool

from expunge.ledger import tokens
from expunge.ledger.database import Database
from expunge.ledger.tokens import Holder, Living

SECONDS = 5.0
"""Seconds for which a revoked token may still be accepted."""
PAUSE = 0.05
"""Seconds between two looks."""


class TokenBook:
    """The living tokens of a ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Mapping[str, Living] = {}
        self._looked = -SECONDS
        self._looking = asyncio.Lock()

    async def holder(self, token: str) -> Holder | None:
        """Who holds ``token``; a new one is known at once, and a revoked one is forgotten after ``SECONDS``."""
        asked = time.monotonic()
        found = tokens.holder(self._known, token) if asked - self._looked < SECONDS else None
        if found is None and token:
            await self._look(asked)
            found = tokens.holder(self._known, token)
        return found

    async def _look(self, since: float) -> None:
        """Reads the ledger, unless somebody began to do so after ``since``."""
        async with self._looking:
            if self._looked >= since:
                return
            await asyncio.sleep(self._looked + PAUSE - time.monotonic())
            began = time.monotonic()
            self._known = await run_in_threadpool(self._read)
            self._looked = began

    def _read(self) -> dict[str, Living]:
        with self._database.reading() as connection:
            return tokens.living(connection)
