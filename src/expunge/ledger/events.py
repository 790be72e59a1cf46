"""Events: what the log says, and the proof that it says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from expunge.errors import LedgerCorrupt


@dataclass(frozen=True)
class Event:
    """An event of the log.

    Args:
        content: the whole event, as JSON.
    """

    content: Mapping[str, object]

    @classmethod
    def of(cls, text: str) -> "Event":
        """The event in an entry of the log.

        Raises:
            LedgerCorrupt: it is not an event.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise LedgerCorrupt("an event of the log cannot be read: run expunge doctor") from error
        if not isinstance(found, dict):
            raise LedgerCorrupt("an event of the log cannot be read: run expunge doctor")
        return cls(found)

    @property
    def kind(self) -> str:
        """What happened; a later version may know more kinds."""
        return self.text("kind")

    @property
    def at(self) -> str:
        """The hour, ISO 8601."""
        return self.text("at")

    def text(self, name: str) -> str:
        """The text that the event has under ``name``.

        Raises:
            LedgerCorrupt: it has no such text.
        """
        found = self.content.get(name)
        if not isinstance(found, str):
            raise LedgerCorrupt(f"an event of the log has no text {name!r}: run expunge doctor")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """The list of texts that the event has under ``name``.

        Raises:
            LedgerCorrupt: it has no such list.
        """
        found = self.content.get(name)
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise LedgerCorrupt(f"an event of the log has no list of texts {name!r}: run expunge doctor")
        return tuple(found)


@dataclass(frozen=True)
class Inclusion:
    """The proof that an event is in the log.

    Args:
        event: the event as it was signed.
        proof: the proof of its place, as pymerkle writes it.
        checkpoint: the signed head that covers it.
    """

    event: str
    proof: Mapping[str, object] = field(repr=False)
    checkpoint: str = field(repr=False)
