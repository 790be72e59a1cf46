"""Commands about the table and the models."""

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.desk import described, print_outcomes
from expunge.cli.kinds import ClassWeight, Dispersion, Event, Exposure, Interval, Kind, Offset, Quantile, Scale, of_a_kind
from expunge.cli.quality import Yes, require_wanted, scored_or_told
from expunge.cli.reading import DATA, reads_files
from expunge.cli.shared import (
    HERE,
    AcceptUndeclared,
    AsJson,
    DryRun,
    InWorkspace,
    app,
    console,
    notify,
    progress,
    show,
    show_plan,
)
from expunge.data.dialect import UNKNOWN, Reading
from expunge.files import write_file

PRIVATE = (
    "ε for which the schema is proposed with differential privacy (δ = 1e-6) for each person, however many rows they have; "
    "written into the schema and into every certificate that stands on it."
)
schema_app = typer.Typer(help="Schemas: how rows become features.", no_args_is_help=True)
app.add_typer(schema_app, name="schema")


@app.command()
@reads_files
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new workspace.")],
    data: Annotated[
        str,
        typer.Option(
            envvar="EXPUNGE_DATA",
            help=f"{DATA} Other users do not see the environment.",
        ),
    ],
    subject: Annotated[str, typer.Option(help="Column that says to whom a row belongs.")],
    alias: Annotated[
        list[str] | None, typer.Option(help="A column with another id of the same person, such as an e-mail; may be repeated.")
    ] = None,
    hashed_alias: Annotated[
        list[str] | None,
        typer.Option(
            help="A hash by which suppression lists name people, such as sha256(lower(email)), whose column is then one of "
            "ids too; may be repeated. See expunge suppress."
        ),
    ] = None,
    ignore_case: Annotated[
        bool, typer.Option("--ids-ignore-case", help="Ids that differ only in the case of letters are the same.")
    ] = False,
    schema: Annotated[Path | None, typer.Option(help="Feature schema (TOML); without it, one is proposed.")] = None,
    query: Annotated[str | None, typer.Option(help="SQL whose result is the rows.")] = None,
    database: Annotated[
        str | None,
        typer.Option(envvar="EXPUNGE_DATABASE", help="URL of an empty database for the ledger. Default: a file in the folder."),
    ] = None,
    row_key: Annotated[
        str | None, typer.Option(help="Columns that together identify a row, separated by commas; see expunge row-key.")
    ] = None,
    private: Annotated[float | None, typer.Option(metavar="EPSILON", help=f"{PRIVATE} Without --schema.")] = None,
    as_json: AsJson = False,
    reading: Reading = UNKNOWN,
) -> None:
    """Make a workspace from a table of people's rows."""
    from expunge.workspace import Workspace

    columns = row_key.split(",") if row_key else []
    with progress("importing the rows", as_json):
        made = Workspace.create(
            folder,
            data,
            subject,
            aliases=alias or (),
            hashed_aliases=hashed_alias or (),
            ignore_case=ignore_case,
            query=query,
            reading=reading,
            schema=schema,
            database=database,
            row_key=columns,
            private=private,
            notify=notify,
        )
    result = {"workspace": str(made.storage.path), "schema": str(made.storage.schema_path), "proposed": schema is None}
    show(result, as_json, lambda: console.print(f"{folder} is ready; next: expunge fit NAME --target COLUMN", highlight=False))


@app.command("row-key")
def row_key(
    columns: Annotated[str, typer.Argument(help="Columns that together identify a row, separated by commas.")],
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Say which columns name a row, so that append recognises rows that come again, and replaces them with --upsert."""
    from expunge.workspace import Workspace

    names = columns.split(",")
    with progress("reading the rows", as_json):
        found = Workspace.open(workspace)
        if dry_run:
            show_plan(found.planned(lambda plans: plans.row_key(names)), as_json)
            return
        found.declare_row_key(names)
    show({"row_key": names}, as_json, lambda: console.print(f"{', '.join(names)} identify a row from now on", highlight=False))


@app.command()
def widen(
    column: Annotated[str, typer.Argument(help="Column of the table.")],
    to: Annotated[str, typer.Option(help="number, for decimals in a column of whole numbers, or text.")],
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Give a column a type that holds more, so that files with such values can be added; present values do not change."""
    from expunge.workspace import Workspace

    with progress("rewriting the table", as_json):
        found = Workspace.open(workspace)
        if dry_run:
            show_plan(found.planned(lambda plans: plans.widen(column, to)), as_json)
            return
        found.widen(column, to)
    show({"column": column, "to": to}, as_json, lambda: console.print(f"{column} is a {to} from now on", highlight=False))


@schema_app.command()
@reads_files
def propose(
    data: Annotated[str, typer.Argument(help=DATA)],
    subject: Annotated[str, typer.Option(help="Column that says to whom a row belongs; it is not a feature.")],
    out: Annotated[Path, typer.Option(help="Where to write the schema; never overwrites a file.")] = Path("schema.toml"),
    query: Annotated[str | None, typer.Option(help="SQL whose result is the rows.")] = None,
    private: Annotated[float | None, typer.Option(metavar="EPSILON", help=PRIVATE)] = None,
    as_json: AsJson = False,
    reading: Reading = UNKNOWN,
) -> None:
    """Draft a feature schema from rows throughout a table, for a person to correct: categories, ranges, knots, scales, crosses.
    Without --private it takes what at least ten people share, and its first lines say so."""
    from dataclasses import asdict

    from expunge.workspace.filling import Origin, propose_schema, spent_on

    with progress("reading the rows", as_json):
        features = propose_schema(Origin(data, query, reading), subject, private)
        write_file(out, features.to_toml().encode(), is_new=True)
    result = {"schema": str(out), "columns": list(features.columns), "features": len(features.feature_names)}
    if features.private is not None:
        result |= asdict(features.private)
        notify(spent_on(features.private))
    else:
        notify("check its ranges and categories: they should come from what you know about the world, not from the data")
    made = f"{len(features.columns)} columns proposed in {out}; {result['features']:,} features"
    show(result, as_json, lambda: console.print(made, highlight=False))


ORDER = "3: third derivatives too, which certify more without rows; 2: none; auto: 3 where it takes little memory."


def _order(given: str) -> int | str:
    """The order as a number, or ``auto``."""
    return int(given) if given.isdigit() else given


@app.command()
def fit(
    name: Annotated[str, typer.Argument(help="Name of the new model.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    model: Kind = "logistic",
    penalty: Annotated[float, typer.Option(help="C of classifiers, alpha of the others.")] = 1.0,
    epsilon: Annotated[float, typer.Option(help="ε promised to everybody forgotten, in nats.")] = 1.0,
    delta: Annotated[float, typer.Option(help="δ of the promise.")] = 1e-6,
    noise: Annotated[str, typer.Option(help="shaped, isotropic, or auto: shaped unless --sigma is given.")] = "auto",
    sigma: Annotated[float | None, typer.Option(help="Isotropic noise in each weight, in place of --excess-risk.")] = None,
    excess_risk: Annotated[
        float | None,
        typer.Option(
            help="What the noise may cost in mean loss, 0.001 by default: in nats for logistic, as a share of a constant "
            "model's loss or of the mean target for the others."
        ),
    ] = None,
    noise_floor: Annotated[
        float, typer.Option(help="Floor of shaped noise: the larger, the less noise falls on people with rare features.")
    ] = 0.02,
    order: Annotated[str, typer.Option(help=ORDER)] = "auto",
    quantile: Quantile = None,
    scale: Scale = None,
    dispersion: Dispersion = None,
    class_weight: ClassWeight = None,
    exposure: Exposure = None,
    offset: Offset = None,
    event: Event = None,
    interval: Interval = None,
    accept_undeclared: AcceptUndeclared = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Fit a model on the table, certify its first release, and score it on people held out."""
    from expunge.workspace import Workspace
    from expunge.workspace.options import How

    given: dict[str, object] = {"penalty": penalty, "epsilon": epsilon, "delta": delta, "sigma": sigma}
    given |= {"excess_risk": excess_risk, "order": _order(order)}
    own = {"quantile": quantile, "scale": scale, "dispersion": dispersion}
    given |= of_a_kind(class_weight, exposure, offset, event, interval, own)
    how: How = {"model": model, "noise": noise, "noise_floor": noise_floor, **given}  # type: ignore[typeddict-item]  # checked there
    with progress("looking at the rows", as_json):
        found = Workspace.open(workspace)
        if dry_run:
            plan = found.planned(lambda plans: plans.fit(name, target, how, accept_undeclared=accept_undeclared))
        size = found.quality.size(target, **how)
    notify(f"{name}: {size}")
    if dry_run:
        show_plan(plan, as_json)
        return
    require_wanted(size.excesses, yes)
    with progress(f"fitting {name}", as_json):
        outcome = found.fit(name, target, accept_undeclared=accept_undeclared, notify=notify, **how)
    with progress(f"scoring {name}", as_json):
        score = scored_or_told(found, name)
    made = outcome.release.certificate
    result = {**described(outcome), "noise": made.noise, "sigma": made.sigma, "excess_risk": made.excess_risk}
    result |= {"size": size.as_json(), "held_out": None if score is None else score.as_json()}
    how_noisy = f"excess risk {made.excess_risk:.4g}" if made.sigma is None else f"σ = {made.sigma:.4g}"
    message = f"{name} is fitted on {size.rows:,} rows; {made.noise} noise, {how_noisy}"
    message += "" if score is None else f"\n{score}"
    show(result, as_json, lambda: console.print(message, highlight=False, soft_wrap=True))


@app.command()
def replace(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    penalty: Annotated[float | None, typer.Option(help="C of classifiers, alpha of the others. Default: as before.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="ε promised to everybody forgotten. Default: as before.")] = None,
    delta: Annotated[float | None, typer.Option(help="δ of the promise. Default: as before.")] = None,
    noise: Annotated[str | None, typer.Option(help="shaped, isotropic or auto. Default: as before.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Isotropic noise in each weight. Default: as before.")] = None,
    excess_risk: Annotated[float | None, typer.Option(help="What the noise may cost. Default: as before.")] = None,
    order: Annotated[str | None, typer.Option(help=f"{ORDER} Default: as before.")] = None,
    accept_undeclared: AcceptUndeclared = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Fit a model anew from the present schema, without anybody who asked to be forgotten; withdraws its releases."""
    from expunge.workspace import Workspace
    from expunge.workspace.options import How

    given: dict[str, object] = {"penalty": penalty, "epsilon": epsilon, "delta": delta, "sigma": sigma, "noise": noise}
    given |= {"excess_risk": excess_risk, "order": None if order is None else _order(order)}
    how: How = {key: value for key, value in given.items() if value is not None}  # type: ignore[assignment]
    with progress("looking at the rows", as_json):
        found = Workspace.open(workspace)
        if dry_run:
            plan = found.planned(lambda plans: plans.replace(name, how, accept_undeclared=accept_undeclared))
        size = found.quality.size_again(name, **how)
    notify(f"{name}: {size}")
    if dry_run:
        show_plan(plan, as_json)
        return
    require_wanted(size.excesses, yes)
    with progress(f"fitting {name} anew", as_json):
        outcome = found.replace(name, accept_undeclared=accept_undeclared, notify=notify, **how)
    with progress(f"scoring {name}", as_json):
        score = scored_or_told(found, name)
    result = {**described(outcome), "size": size.as_json(), "held_out": None if score is None else score.as_json()}
    message = f"{name} is replaced; its earlier releases are withdrawn" + ("" if score is None else f"\n{score}")
    show(result, as_json, lambda: print_outcomes([outcome], message))


@app.command()
def retire(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Withdraw a model for good: its state and the weights of all its releases are destroyed. Certificates stay."""
    from expunge.workspace import Workspace

    found = Workspace.open(workspace)
    if dry_run:
        show_plan(found.planned(lambda plans: plans.retire(name)), as_json)
        return
    if not yes:
        typer.confirm(f"destroy the state and all released weights of {name}?", abort=True)
    with progress(f"retiring {name}", as_json):
        closed = found.retire(name)
    message = f"{name} is retired; {closed:,} requests that waited for it are closed"
    show({"model": name, "closed": closed}, as_json, lambda: console.print(message, highlight=False))


@app.command()
def refit(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    dry_run: DryRun = False,
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Refit a model now: its state then depends on nobody forgotten. Only a scheduled refit resets its budget."""
    from expunge.workspace import Workspace

    with progress(f"refitting {name}", as_json):
        found = Workspace.open(workspace)
        if dry_run:
            show_plan(found.planned(lambda plans: plans.refit(name)), as_json)
            return
        outcome = found.refit(name, notify=notify)
    show(described(outcome), as_json, lambda: print_outcomes([outcome], f"{name} is refitted"))


@app.command()
def capacity(
    name: Annotated[str, typer.Argument(help="Name of the model.")], workspace: InWorkspace = HERE, as_json: AsJson = False
) -> None:
    """How much of a model's capacity to forget is used, and how much more each rung should certify."""
    from dataclasses import asdict

    from expunge.workspace import Workspace

    with progress("forecasting", as_json):
        report = Workspace.open(workspace).capacity(name)
    show({**asdict(report), "regime": report.regime}, as_json, lambda: console.print(str(report), highlight=False))
