"""Cases: how a request came, and what an office notes of it; checked when it is given."""

from dataclasses import dataclass, field
from datetime import date

from expunge.ledger import times
from expunge.ledger.cases import CaseFile
from expunge.ledger.requests import Basis, Channel
from expunge.workspace.deadlines import FARTHEST

SHORT, LONG = 200, 5_000
"""Largest numbers of characters of a reference or a name, and of a note."""
FIRST = date(2000, 1, 1)
"""No request that is open came before this day: an earlier one is mistyped."""


@dataclass(frozen=True)
class Case:
    """How a request came, and what an office notes of it.

    Args:
        received_on: the day on which it came; ``None`` for today.
        channel: how it came.
        reference: the office's own.
        checked_by: who checked the person's identity.
        note: what is to be remembered.
    """

    received_on: date | None = None
    channel: Channel | None = None
    reference: str | None = field(default=None, repr=False)
    checked_by: str | None = field(default=None, repr=False)
    note: str | None = field(default=None, repr=False)

    @classmethod
    def read(
        cls, received_on: str = "", channel: str = "", reference: str = "", checked_by: str = "", note: str = ""
    ) -> "Case":
        """The case that somebody entered; empty texts are left out.

        Args:
            received_on: an ISO 8601 day.
            channel: one of the words of ``Channel``.
            reference: at most 200 characters.
            checked_by: at most 200 characters.
            note: at most 5,000 characters.

        Raises:
            WrongField: one of them is wrong; it names the field.
        """
        day = None if not received_on.strip() else _day(received_on.strip())
        if channel and channel not in tuple(Channel):
            raise WrongField("channel", f"the channel must be one of {', '.join(Channel)}")
        return cls(
            day,
            Channel(channel) if channel else None,
            line(reference, "reference"),
            line(checked_by, "checked_by"),
            text(note, "note") or None,
        )

    @property
    def file(self) -> CaseFile:
        """What the ledger keeps in the case file."""
        return CaseFile(self.reference, self.checked_by)


def basis(given: str) -> Basis | None:
    """Why a restriction is asked for, as somebody entered it; "" for what is not noted.

    Raises:
        WrongField: there is no such ground.
    """
    if given and given not in tuple(Basis):
        raise WrongField("ground", f"the ground must be one of {', '.join(Basis)} (GDPR Art. 18(1))")
    return Basis(given) if given else None


NO_CASE = Case()
"""It came today, and nothing is noted."""


class WrongField(ValueError):
    """Something that was entered and cannot be taken.

    Args:
        name: name of the field.
        message: for people; it quotes nothing that was entered.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.field = name


def line(given: str, name: str) -> str | None:
    """One line of text, or ``None`` if there is none.

    Raises:
        WrongField: it is too long, or has line breaks or other control characters.
    """
    found = given.strip()
    words = name.replace("_", " ")
    if len(found) > SHORT:
        raise WrongField(name, f"{words}: at most {SHORT} characters, there are {len(found):,}")
    if not found.isprintable():
        raise WrongField(name, f"{words}: it has line breaks or other characters that cannot be seen: remove them")
    return found or None


def text(given: str, name: str) -> str:
    """A text of several lines, which may be empty.

    Raises:
        WrongField: it is too long, or has control characters.
    """
    found = given.replace("\r\n", "\n").strip()
    if len(found) > LONG:
        raise WrongField(name, f"{name}: at most {LONG:,} characters, there are {len(found):,}")
    if not found.replace("\n", "").replace("\t", "").isprintable():
        raise WrongField(name, f"{name}: it has characters that cannot be seen: remove them")
    return found


def _day(given: str) -> date:
    try:
        day = date.fromisoformat(given)
    except ValueError:
        raise WrongField("received_on", "the day of receipt must be written like 2026-11-03") from None
    if day > (times.now() + FARTHEST).date():
        raise WrongField("received_on", "the day of receipt is in the future")
    if day < FIRST:
        raise WrongField("received_on", f"the day of receipt is before {FIRST.year}")
    return day
