"""Commands about how good a model is, and what a fit asks and tells. All of it is for those who may see the data."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.kinds import ClassWeight, Dispersion, Event, Exposure, Interval, Kind, Offset, Quantile, Scale, of_a_kind
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
            help=f"{FILE}, of people whom the model has not seen; with --query, the URL of a database (or in the environment, "
            "EXPUNGE_DATA). Without it: people held out."
        ),
    ] = None,
    query: Annotated[str | None, typer.Option(help="SQL whose result is the rows.")] = None,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
    reading: Reading = UNKNOWN,
) -> None:
    """Score a model beside the null model and itself without noise. For those who may see the data."""
    from expunge.workspace import Workspace

    if query is not None:
        data = data or os.environ.get("EXPUNGE_DATA")
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


@app.command()
def tune(
    name: Annotated[str, typer.Argument(help="Name of the model that is to be fitted.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    model: Kind = "logistic",
    penalty: Annotated[
        list[float] | None, typer.Option(help="C or alpha to try; may be repeated. Default: 0.1, 1 and 10.")
    ] = None,
    excess_risk: Annotated[
        list[float] | None,
        typer.Option(help="What the noise may cost, to try; may be repeated. Default: 0.0003, 0.001 and 0.003."),
    ] = None,
    epsilon: Annotated[float, typer.Option(help="ε promised to everybody forgotten, in nats.")] = 1.0,
    delta: Annotated[float, typer.Option(help="δ of the promise.")] = 1e-6,
    quantile: Quantile = None,
    scale: Scale = None,
    dispersion: Dispersion = None,
    class_weight: ClassWeight = None,
    exposure: Exposure = None,
    offset: Offset = None,
    event: Event = None,
    interval: Interval = None,
    private: Annotated[
        float | None,
        typer.Option(help="ε of the choice itself, for each person: choose by differentially private votes alone."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file for the table and the figure. Default: none.")] = None,
    yes: Yes = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Try penalties, excess risks and features on people held out, against how many people can then be forgotten."""
    from expunge.workspace import Workspace
    from expunge.workspace.quality.trade_off import tuning_page
    from expunge.workspace.quality.tuning import EXCESS_RISKS, PENALTIES, Trying

    own = {"quantile": quantile, "scale": scale, "dispersion": dispersion}
    kind = of_a_kind(class_weight, exposure, offset, event, interval, own)
    trying: Trying = {"model": model, "epsilon": epsilon, "delta": delta, "penalty": penalty or PENALTIES, **kind}  # type: ignore[typeddict-item]
    trying["excess_risk"] = excess_risk or (EXCESS_RISKS if private is None else EXCESS_RISKS[1:2])
    with progress("looking at the rows", as_json):
        found = Workspace.open(workspace).quality
        size = found.size_of_tuning(target, **trying)
    notify(f"{name}, all settings together: {size}")
    require_wanted(size.excesses, yes)
    with progress("trying settings", as_json):
        tuned = found.tune(name, target, private=private, **trying)
        if out is not None:
            write_output(out, tuning_page(tuned).encode())
    show(tuned.as_json(), as_json, lambda: console.print(str(tuned), highlight=False, soft_wrap=True))
