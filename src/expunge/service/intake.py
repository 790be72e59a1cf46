"""Intake: requests that arrive together are answered together, with one look at the table and one transaction."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from expunge.workspace import desk
from expunge.workspace.desk import Answer
from expunge.workspace.place import Place

TOGETHER = 500
"""Wishes answered in one go."""


@dataclass(frozen=True)
class _Wish:
    subjects: list[str]
    actor: str
    key: str | None
    answered: "asyncio.Future[list[Answer]]"


class Intake:
    """Queues wishes to be forgotten and answers all that wait at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._waiting: list[_Wish] = []
        self._thread = ThreadPoolExecutor(1, "expunge-intake")
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, subjects: list[str], actor: str, key: str | None) -> list[Answer]:
        """Answers, in order; see ``desk.ask``."""
        wish = _Wish(subjects, actor, key, asyncio.get_running_loop().create_future())
        self._waiting.append(wish)
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer())
        return await wish.answered

    async def _answer(self) -> None:
        while self._waiting:
            together: list[_Wish] = []
            seen: set[str] = set()
            actor = self._waiting[0].actor
            while self._waiting and len(together) < TOGETHER and self._waiting[0].actor == actor:
                wish = self._waiting[0]
                if not seen.isdisjoint(wish.subjects):
                    break  # the same subject, perhaps with another key: in the next go
                seen.update(wish.subjects)
                together.append(self._waiting.pop(0))
            try:
                loop = asyncio.get_running_loop()
                answers = iter(await loop.run_in_executor(self._thread, self._ask, together, actor))
            except Exception as error:
                for wish in together:
                    if not wish.answered.cancelled():
                        wish.answered.set_exception(error)
                continue
            for wish in together:
                mine = [next(answers) for _ in wish.subjects]
                if not wish.answered.cancelled():
                    wish.answered.set_result(mine)

    def _ask(self, together: list[_Wish], actor: str) -> list[Answer]:
        subjects = [subject for wish in together for subject in wish.subjects]
        keys = {wish.subjects[0]: wish.key for wish in together if wish.key is not None}
        return desk.ask(self._place, subjects, actor, keys)

    def close(self) -> None:
        """Ends the thread once what it does is done."""
        self._thread.shutdown()
