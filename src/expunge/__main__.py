"""``expunge`` and ``python -m expunge``: the command line, or a word on what it needs."""

import sys

from expunge.errors import missing


def main() -> None:
    """Runs the command line; without the packages that it needs, says which extra brings them."""
    try:
        from expunge.cli import app
    except ModuleNotFoundError as error:
        said = missing(error)
        if said is None:
            raise
        sys.exit(f"error: {said}")
    app()


if __name__ == "__main__":
    main()
