"""Intake: requests that arrive together are answered together, with one look at the table and one transaction."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from expunge.errors import ExpungeError
from expunge.service.records import changed
from expunge.workspace import desk
from expunge.workspace.asking import Answer, ForgetRequest
from expunge.workspace.storage import Storage

TOGETHER = 500
"""Number of calls answered together."""


@dataclass(frozen=True)
class _Call:
    wishes: Sequence[ForgetRequest]
    answered: "asyncio.Future[list[Answer]]"


class Intake:
    """Queues requests to be forgotten, and answers all that are waiting together."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._waiting: list[_Call] = []
        self._thread = ThreadPoolExecutor(1, "expunge-intake")
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, wishes: Sequence[ForgetRequest]) -> list[Answer]:
        """Answers to ``wishes``, in order; see ``desk.ask``."""
        started = time.perf_counter()
        call = _Call(desk.together(self._storage, wishes), asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._answering is None or self._answering.done():
            self._answering = asyncio.create_task(self._answer())
        answers = await call.answered
        for wish, answer in zip(wishes, answers, strict=True):
            if not answer.is_replayed and (answer.receipt is not None or answer.is_refused):  # others were asked before
                event = "request.refused" if answer.is_refused else "request.accepted"
                changed(event, wish.actor, time.perf_counter() - started, request=answer.request)
        return answers

    async def _answer(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            await self._answer_together(together)

    async def _answer_together(self, calls: Sequence[_Call]) -> None:
        wishes = [wish for call in calls for wish in call.wishes]
        try:
            answers = iter(await asyncio.get_running_loop().run_in_executor(self._thread, desk.ask, self._storage, wishes))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a panic of a Rust library is not an Exception, and somebody waits for the answer
            if len(calls) > 1 and not isinstance(error, ExpungeError):
                for call in calls:  # an error that one of them caused must not affect the others
                    await self._answer_together([call])
                return
            for call in calls:
                if not call.answered.cancelled():
                    call.answered.set_exception(error)
            return
        for call in calls:
            mine = [next(answers) for _ in call.wishes]
            if not call.answered.cancelled():
                call.answered.set_result(mine)

    def close(self) -> None:
        """Ends the thread once its present work is done; nobody waits for it any more."""
        self._thread.shutdown(wait=False)
