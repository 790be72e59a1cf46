"""Replays: a call with an idempotency key that comes again is answered as the first time, receipts included.

The ledger keeps keyed hashes of the key and of what was asked, and the answers without receipts: no id and no salt. A receipt
follows from its request and the id, which the call that comes again has in it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from expunge.data.pseudonyms import SubjectKey
from expunge.errors import Refusal
from expunge.evidence.statements import canonical
from expunge.ledger import answers
from expunge.ledger.answers import Kept
from expunge.ledger.requests import RequestState
from expunge.workspace.asking import Answer, ForgetRequest

WITHOUT = ("actor", "key", "call", "lot")
"""Parts of a wish that are not what was asked."""
LATER = ("kind", "ground")
"""Parts of a wish that calls did not always have: left out where they say what they would without them."""
PASSING = (Refusal.LIMIT,)
"""Refusals that may be over when the call comes again, which is then answered afresh."""


USUAL = asdict(ForgetRequest("", ""))
"""What these say then."""


class OtherBody(Exception):
    """The key was used for a call that asked for something else."""


class Replays:
    """The answers to calls with idempotency keys.

    Args:
        key: key under which keys and bodies are hashed.
        connection: a connection to the ledger's database.
        receipt: makes the receipt of a request for an id again.
    """

    def __init__(self, key: SubjectKey, connection: sa.Connection, receipt: Callable[[str, str], str]) -> None:
        self._key, self._connection, self._receipt = key, connection, receipt
        self._new: dict[str, Kept] = {}

    def before(self, key: str, wishes: Sequence[ForgetRequest]) -> list[Answer] | None:
        """The answers of the first time; ``None`` if this is the first time.

        Raises:
            OtherBody: the key was used for another call.
        """
        name = self._key.call("key", key)
        found = self._new.get(name) or answers.kept(self._connection, name)
        if found is None:
            return None
        if found.body != self._body(wishes):
            raise OtherBody
        return [self._answer(given, wish) for given, wish in zip(json.loads(found.content), wishes, strict=True)]

    def note(self, key: str, wishes: Sequence[ForgetRequest], made: Sequence[Answer]) -> None:
        """Notes the answers to a call; ``record`` keeps them."""
        if not any(answer.reason in PASSING for answer in made):
            content = [{**asdict(answer), "receipt": answer.receipt is not None} for answer in made]
            self._new[self._key.call("key", key)] = Kept(self._body(wishes), canonical(content))

    def record(self, at: str) -> None:
        """Keeps what was noted."""
        for name, answer in self._new.items():
            answers.keep(self._connection, name, answer, at)

    def _body(self, wishes: Sequence[ForgetRequest]) -> str:
        asked = [dict(filter(_is_asked, asdict(wish).items())) for wish in wishes]
        return self._key.call("body", json.dumps(asked, sort_keys=True, default=str))

    def _answer(self, given: dict[str, Any], wish: ForgetRequest) -> Answer:
        answer = Answer(
            request=given["request"],
            state=RequestState.read(given["state"]),
            message=given["message"],
            deadline=given["deadline"],
            rows=given["rows"],
            reason=None if given["reason"] is None else Refusal(given["reason"]),
            near=given["near"],
            is_replayed=True,
        )
        return replace(answer, receipt=self._receipt(answer.request, wish.subject)) if given["receipt"] else answer


def _is_asked(part: tuple[str, Any]) -> bool:
    """Whether a part of a wish says what was asked."""
    name, value = part
    return name not in WITHOUT and not (name in LATER and value == USUAL[name])
