"""``python -m expunge.cli``."""

from expunge.cli import app

if __name__ == "__main__":
    app()
