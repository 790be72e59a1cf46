"""A sample workspace: people of the bundled census with ids, and two models, for trying every command and the desk."""

from pathlib import Path

from expunge.data.census import SPLIT, SUBJECT, TARGET, census_schema, census_table
from expunge.errors import WorkspaceInvalid
from expunge.workspace.batch import Outcome
from expunge.workspace.model_kinds import ModelKind
from expunge.workspace.states import Notify, silent
from expunge.workspace.workspace import Workspace

DELTA = 1e-5


def make_sample(folder: Path, notify: Notify = silent) -> tuple[Path, list[Outcome]]:
    """Makes a workspace in ``folder`` from a CSV file written beside it; returns the file and the releases of two models.

    ``income`` says whether somebody earned over $50,000 a year, ``hours`` how many hours a week they work.

    Args:
        notify: told what is done.

    Raises:
        WorkspaceInvalid: the folder or the file already exists.
    """
    import pyarrow.csv

    data = folder.absolute().with_name(f"{folder.absolute().name}.csv")
    if data.exists() or (folder.exists() and any(folder.iterdir())):
        taken = data if data.exists() else folder
        raise WorkspaceInvalid(f"{taken} already exists: choose another folder. Nothing was changed")
    data.parent.mkdir(parents=True, exist_ok=True)
    try:
        pyarrow.csv.write_csv(census_table("train").drop_columns([SPLIT]), data)
        schema = data.with_suffix(".toml")
        census_schema().write(schema)
        try:
            made = Workspace.create(folder, str(data), SUBJECT, schema=schema, notify=notify)
        finally:
            schema.unlink()
    except BaseException:
        data.unlink(missing_ok=True)
        raise
    income = made.fit("income", TARGET, delta=DELTA)
    hours = made.fit("hours", "hours_per_week", model=ModelKind.RIDGE, delta=DELTA)
    return data, [income, hours]
