"""Receipts as files: written where only their owner may read them."""

from collections.abc import Mapping
from pathlib import Path

from expunge.cli.shared import say
from expunge.files import write_file


def write_receipts(folder: Path, documents: Mapping[str, str]) -> dict[str, str]:
    """Writes receipts by request; where they are. One that cannot be written now can be made again, and that is said."""
    written: dict[str, str] = {}
    for request, document in documents.items():
        path = folder / f"{request}.json"
        try:
            write_file(path, document.encode())
        except OSError as error:
            say(
                f"request {request} stands, but its receipt could not be written ({error.strerror}): make it again with "
                f"expunge receipt {request} --subject -"
            )
        else:
            written[request] = str(path)
    return written
