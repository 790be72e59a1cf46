"""Receipts as files: written where only their owner may read them, and made again when they are lost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.shared import (
    HERE,
    AsJson,
    InWorkspace,
    app,
    console,
    given_subject,
    notify,
    progress,
    refusing,
    require_writable,
    show,
)
from expunge.files import write_file


@app.command()
def receipt(
    request: Annotated[str, typer.Argument(help="Id of the request.")],
    subject: Annotated[str, typer.Option(help="Id of the person who asked; - reads it from standard input.")],
    receipts: Annotated[Path, typer.Option(help="Folder for the receipt, which is for the requester.")] = Path("receipts"),
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Make the receipt of a request again, for somebody who knows whose it is. Exits with 3 if it is somebody else's."""
    from expunge.workspace import Workspace

    with progress("making the receipt", as_json), refusing(as_json, request=request):
        made = Workspace.open(workspace).receipt(request, given_subject(subject))
        require_writable(receipts)
        path = receipts / f"{made.request}.json"
        write_file(path, made.document.encode())
    show(
        {"request": request, "receipt": str(path)}, as_json, lambda: console.print(f"the receipt is in {path}", highlight=False)
    )


def write_receipts(folder: Path, documents: Mapping[str, str]) -> dict[str, str]:
    """Writes receipts by request and returns their paths; says so if one cannot be written now, as it can be made again."""
    written: dict[str, str] = {}
    for request, document in documents.items():
        path = folder / f"{request}.json"
        try:
            write_file(path, document.encode())
        except OSError as error:
            notify(
                f"request {request} stands, but its receipt could not be written ({error.strerror}): make it again with "
                f"expunge receipt {request} --subject -"
            )
        else:
            written[request] = str(path)
    return written
