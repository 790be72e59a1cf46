"""Replays one game: ``python -m tests.referee sequence 7``; raises the fault, or ends in silence."""

import sys
import warnings

from tests.referee.play import GAMES

if __name__ == "__main__":
    warnings.simplefilter("error")
    GAMES[sys.argv[1]](int(sys.argv[2]))
