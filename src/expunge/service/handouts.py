"""Handouts: receipts that were just made, so that they can be fetched together. They stay in the memory of this process alone.

A receipt holds no id. It belongs to whoever made the requests, for half an hour; afterwards it can be made again one by one.
"""

from dataclasses import dataclass, field

from expunge.service.shelf import Shelf
from expunge.workspace.asking import Answer


@dataclass(frozen=True)
class Handout:
    """The receipts of the requests that were made together, by the ids of the requests."""

    receipts: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, answers: list[Answer]) -> "Handout":
        """The receipts among the answers to requests."""
        return cls({answer.request: answer.receipt for answer in answers if answer.receipt is not None})


class Handouts(Shelf[Handout]):
    """The handouts of a service, under random names."""
