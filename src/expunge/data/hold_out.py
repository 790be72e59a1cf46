"""Hold-outs: people whom a measuring fit does not see. The pseudonym alone decides, which is a keyed hash of the id.

So a person is held out in all of their rows or in none, today and after a restore, and without the key nobody can say who is.
"""

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from expunge.data.own_columns import SUBJECT
from expunge.data.sources import Without

SHARE = 0.2
"""The share of the people who are held out."""
_LAST = 24, 32
"""The digits that decide; the first digits of a pseudonym are those of its bucket."""
_LIMIT = f"{int(SHARE * 16**8):08x}"


@dataclass(frozen=True)
class HoldOut:
    """The rows of the people held out, or those of all others.

    Args:
        is_held_out: which of the two.
        gone: people who are in neither. Default: nobody.
    """

    is_held_out: bool
    gone: Without | None = None

    @property
    def column(self) -> str:
        """The column that says to whom a row belongs."""
        return SUBJECT

    def kept(self, table: pa.Table) -> pa.Array:
        """Mask of the rows that stay.

        Args:
            table: rows with the column.
        """
        below = pc.less(pc.utf8_slice_codeunits(table[SUBJECT], *_LAST), _LIMIT)
        chosen = below if self.is_held_out else pc.invert(below)
        return chosen if self.gone is None else pc.and_(chosen, self.gone.kept(table))


def left_out(people: Collection[str]) -> Without | None:
    """What leaves out ``people``; ``None`` if there are none.

    Args:
        people: their pseudonyms.
    """
    return Without(SUBJECT, pa.array(sorted(people), pa.string())) if people else None
