"""Commands that need no workspace: the demonstration, its audit, and the paper's claims."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from expunge.cli.desk import print_outcomes
from expunge.cli.shared import CHECK_FAILED, HERE, InWorkspace, app, console, notify, progress, require_writable
from expunge.unlearning.rung import Rung


@app.command()
def demo(
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", help="Make a sample workspace in this folder, on which to try other commands."),
    ] = None,
) -> None:
    """Fit the bundled census data, forget people on every rung of the ladder, and print the certificate."""
    if workspace is not None:
        _make_sample(workspace)
        return
    from expunge.cli.demo import DELTA, EPSILON, EXCESS_RISK, Demo

    console = Console()
    story = Demo()
    n_rows, n_features = story.X.shape
    console.print(
        f"Logistic regression on {n_rows:,} people of the 1994 census, {n_features} features, C = 1. Promise: "
        f"ε = {EPSILON:g}, δ = {DELTA:g}; noise that may cost {EXCESS_RISK:g} in log-loss, fixed beforehand."
    )
    cost = story.noise_cost()
    console.print(
        f"Measured on {len(story.y_test):,} people not trained on, it costs {cost.cost:.4f}; in the log-odds of the median "
        f"person it is {cost.median:.2f}, in those of the worst-served person {cost.largest:.2f}."
    )
    steps = list(story.steps())
    distances = Table(
        title="Forgetting, compared with retraining",
        caption="distance to the retrained weights: proven bound, and true value by retraining",
    )
    for heading in ("forget", "rung"):
        distances.add_column(heading, no_wrap=True)
    for heading in ("ms", "refit ms*", "certified", "true", "ε spent†"):
        distances.add_column(heading, justify="right", no_wrap=True)
    scores = Table(title="Held-out accuracy / log-loss", caption=f"on {len(story.y_test):,} people not trained on")
    scores.add_column("forget", no_wrap=True)
    for heading in ("original", "forgotten", "retrained"):
        scores.add_column(heading, justify="right", no_wrap=True)
    for step in steps:
        certificate = step.certificate
        passes = f" × {certificate.passes}" if certificate.rung == Rung.PASS else ""
        distances.add_row(
            step.name,
            certificate.rung + passes,
            f"{step.seconds * 1e3:.1f}",
            f"{step.retrain_seconds * 1e3:.0f}",
            f"{certificate.distance_bound:.1e}",
            f"{step.true_distance:.1e}",
            f"{certificate.epsilon_total:.2g}",
        )
        columns = (step.original, step.forgotten, step.retrained)
        scores.add_row(step.name, *(f"{score.accuracy:.4f} / {score.log_loss:.4f}" for score in columns))
    console.print(distances)
    console.print("* scikit-learn's newton-cholesky on the remaining rows, default tolerance")
    console.print("† of the promise; 0 where the two models are so close that δ alone covers the difference")
    console.print(scores)
    console.print("The last certificate, as evidence for the holder of the data:")
    console.print_json(steps[-1].certificate.to_json())


@app.command()
def audit(
    folder: Annotated[Path, typer.Argument(help="Where audit.json and the figure audit.svg are written.")] = Path("audit"),
    draws: Annotated[int, typer.Option(min=4, help="Models drawn of each of the two; more detect more.")] = 2000,
    model: Annotated[str | None, typer.Option(help="Model of the workspace to audit; by default the census story.")] = None,
    workspace: InWorkspace = HERE,
) -> None:
    """Audit forgetting, by retraining and from the outside, on a model of the workspace or on bundled census people."""
    console = Console(soft_wrap=True, markup=False)
    with progress("auditing", as_json=False):
        require_writable(folder)  # before minutes of work
        if model is None:
            from expunge.cli.demo import Demo

            verdict = Demo().audited(draws)
        else:
            from expunge.workspace.auditing import audited
            from expunge.workspace.storage import Storage

            verdict = audited(Storage(workspace), model, draws).verdict
    console.print(str(verdict), highlight=False)
    paths = verdict.write(folder)
    console.print(f"written to {paths[0]} and {paths[1]}")
    if not verdict.is_honest:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def reproduce(
    folder: Annotated[Path, typer.Argument(help="Where the page and its figures are written.")] = Path("reproduction"),
    data: Annotated[
        Path,
        typer.Option(envvar="EXPUNGE_DATA", help="Folder of the data sets that are not shipped; missing ones are left out."),
    ] = Path("../shared/data"),
) -> None:
    """Regenerate every claim of the paper as figures and tables on one page, in a few minutes."""
    from expunge.paper.reproduce import reproduce as write_page

    console = Console()
    path = write_page(folder, data, console.print)
    console.print(f"written to {path}")


def _make_sample(workspace: Path) -> None:
    from expunge.workspace.sample import make_sample

    with progress("making a sample workspace", as_json=False):
        data, outcomes = make_sample(workspace, notify)
    print_outcomes(outcomes, f"{workspace} holds the 32,561 people of {data.name}, from the 1994 census, and two models. Try:")
    for line in (
        f"expunge forget p00017 p00023 -w {workspace}",
        f"expunge process --now -w {workspace}",
        f"expunge certificate 3 --out certificate.json -w {workspace}",
        f"expunge verify certificate.json --key {workspace}/expunge.pub",
        f"expunge token issue me --role operator -w {workspace} && expunge serve -w {workspace}",
    ):
        console.print(f"  {line}", highlight=False)
