"""Commands about how good a model is, and what a fit asks and tells. All of it is for those who may see the data."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.reading import FILE, reads_files
from expunge.cli.shared import HERE, AsJson, InWorkspace, app, console, notify, progress, show
from expunge.data.dialect import UNKNOWN, Reading
from expunge.errors import ExpungeError, InvalidRows
from expunge.files import write_output

if TYPE_CHECKING:
    from expunge.workspace import Workspace
    from expunge.workspace.quality.evaluating import Evaluated

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, however large the model is.")]


def require_wanted(excesses: Sequence[str], yes: bool) -> None:
    """Asks whether to go on with a model of unusual size.

    Raises:
        InvalidRows: the answer is no, or there is nobody to ask.
    """
    if not excesses or yes:
        return
    what = " and ".join(excesses)
    notify(f"this model has {what}: fit it all the same? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidRows(
            f"the model would have {what}: check the target and the kind of model (a number is better predicted by a "
            "regression, --model ridge), or give --yes to fit it all the same. Nothing was changed"
        )


def scored_or_told(workspace: "Workspace", name: str) -> "Evaluated | None":
    """The scores of a model that was just fitted, or a word on why there are none: the fit stands either way."""
    try:
        return workspace.quality.evaluate(name)
    except ExpungeError as error:
        notify(f"{name} has no held-out score: {error}")
        return None


@app.command()
@reads_files
def evaluate(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    data: Annotated[
        str | None,
        typer.Argument(
            help=f"{FILE}, of people whom the model has not seen; with --query, the URL of a database. Without it: people "
            "held out.",
            envvar="EXPUNGE_DATA",
        ),
    ] = None,
    query: Annotated[str | None, typer.Option(help="SQL whose result is the rows.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
    reading: Reading = UNKNOWN,
) -> None:
    """Score a model beside the null model and itself without noise. For those who may see the data."""
    from expunge.workspace import Workspace

    with progress(f"scoring {name}", as_json):
        found = Workspace.open(workspace).quality.evaluate(name, data, query, reading=reading)
    show(found.as_json(), as_json, lambda: console.print(str(found), highlight=False, soft_wrap=True))


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: NAME.html in the current folder.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Write a page on a model: scores, calibration, and what each column adds. For those who may see the data."""
    from expunge.unlearning.scores import NOT_COVERED
    from expunge.workspace import Workspace
    from expunge.workspace.quality.page import report_page

    out = Path(f"{name}.html") if out is None else out
    with progress(f"explaining {name}", as_json):
        found = Workspace.open(workspace).quality.explain(name)
        write_output(out, report_page(found).encode())
    notify(NOT_COVERED)
    importance = {effect.column: effect.importance for effect in found.effects}
    result = {"model": name, "release": found.published.release, "file": str(out), "importance": importance}
    show(result, as_json, lambda: console.print(f"the report on {name} is in {out}", highlight=False, soft_wrap=True))
