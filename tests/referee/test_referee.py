"""The games, in their quick form; ``make soak`` plays twenty times as many.

A fault names its seed and the command that replays it: ``python -m tests.referee sequence 7``.
"""

import pytest

from tests.conftest import SOAK
from tests.referee.play import play

BLOCK = 11
"""Games in one test: one for every loss."""
BLOCKS = {"ladder": 12, "sequence": 1, "wide": 1}


@pytest.mark.parametrize(("game", "first"), [(game, BLOCK * i) for game, n in BLOCKS.items() for i in range(n * SOAK)])
def test_no_fault(game, first):
    assert play(game, range(first, first + BLOCK)) > BLOCK, "games without a bound to judge test nothing"
