"""``python -m expunge.cli``."""

from expunge.cli import app

app()
