"""What is imported when: the package is quick to import, and loads what is heavy where it is used."""

import json
import subprocess
import sys

import pytest

from expunge.ledger import tokens
from tests.workspace.people import workspace

HEAVY = {"opendp", "dp_accounting", "sklearn", "pandas", "pyarrow", "sqlalchemy", "deltalake", "duckdb", "matplotlib", "torch"}
"""Each takes from a quarter of a second to two seconds."""


def modules_of(statement: str) -> set[str]:
    """The modules that a new process has after ``statement``."""
    program = f"import json, sys\n{statement}\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def loaded_by(statement: str) -> set[str]:
    """The packages that ``statement`` loads, other than Python's own and ours; and the largest part of SciPy."""
    modules = modules_of(statement) - modules_of("")
    found = {name.split(".")[0] for name in modules} | (modules & {"scipy.stats"})
    return {name for name in found if not name.startswith("_")} - sys.stdlib_module_names - {"expunge"}


def test_the_package_alone_loads_nothing_but_python():
    assert loaded_by("import expunge") == set()


@pytest.mark.parametrize("name", ["Unlearner", "Settings", "Guarantee", "Objective", "Rows", "Statistics"])
def test_the_core_loads_numpy_and_scipy_and_nothing_of_weight(name):
    found = loaded_by(f"from expunge import {name}")
    assert "numpy" in found
    assert found & (HEAVY | {"scipy.stats"}) == set()


def test_the_estimators_load_scikit_learn_but_no_sampler_and_no_workspace():
    found = loaded_by("import expunge.linear_model")
    assert "sklearn" in found
    of_scikit_learn = loaded_by("import sklearn.linear_model")  # it looks for data frames by itself
    assert (found - of_scikit_learn) & HEAVY == set()


def test_noise_is_drawn_by_the_sampler_alone():
    """OpenDP's prelude would load scikit-learn, pandas and more."""
    drawn = "from expunge.privacy.noise import secure_noise; import numpy as np; secure_noise(np.zeros(2), 1.0)"
    assert loaded_by(drawn) & (HEAVY | {"scipy.stats"}) == {"opendp"}


def test_the_command_line_is_there_before_any_numerical_library():
    assert loaded_by("import expunge.cli") & (HEAVY | {"numpy", "scipy"}) == set()


def test_evidence_is_checked_without_a_numerical_library():
    assert loaded_by("import expunge.evidence.verification") & (HEAVY | {"numpy", "scipy"}) == set()


SLOW = {"sklearn", "scipy.stats", "opendp", "dp_accounting", "deltalake", "matplotlib"}
"""What neither the desk nor the start of the service needs."""


@pytest.mark.parametrize("statement", ["from expunge.workspace import Workspace", "import expunge.service.app"])
def test_a_workspace_and_its_service_start_without_what_only_fits_batches_and_audits_need(statement):
    assert loaded_by(statement) & (SLOW | {"pandas", "duckdb"}) == set()
    assert "scipy.optimize" not in modules_of(statement)


def test_status_is_told_and_requests_are_taken_and_previewed_without_what_only_fits_and_batches_need(tmp_path):
    folder = workspace(tmp_path).storage.path
    told = "from expunge.workspace.storage import Storage; from expunge.workspace.status import status"
    assert loaded_by(f"import pathlib; {told}; status(Storage(pathlib.Path({str(folder)!r})))") & (HEAVY | SLOW) == {
        "pyarrow",
        "sqlalchemy",
    }
    opened = f"from expunge.workspace import Workspace; made = Workspace.open({str(folder)!r})"
    asked = "from expunge.workspace.asking import ForgetRequest; wish = ForgetRequest('person-1', 'Ann')"
    asked += "; from expunge.workspace.states import rung_expected"
    found = loaded_by(f"{opened}; {asked}; made.ask([wish]); made.preview([wish]); rung_expected(made.storage, 'churn', 1)")
    assert "duckdb" in found and found & SLOW == set()


def test_the_first_page_and_the_first_preview_find_everything_of_weight_loaded(tmp_path):
    made = workspace(tmp_path)
    with made.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", "operator")
    program = f"""
import re
from fastapi.testclient import TestClient
from expunge.service.app import create_app
from expunge.workspace import Workspace
with TestClient(create_app(Workspace.open({str(made.storage.path)!r}), every=3600.0)) as client:
    started = set(sys.modules)
    client.post("/login", data={{"token": {token!r}}}).raise_for_status()
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/requests/new").text)[1]
    given = {{"csrf": csrf, "subject": "person-1"}}
    assert "churn" in client.post("/requests/preview", data=given).raise_for_status().text
    late = set(sys.modules) - started
print(json.dumps([list(started), list(late)]))
"""
    done = subprocess.run([sys.executable, "-c", f"import json, sys{program}"], capture_output=True, text=True, check=True)
    started, late = (set(names) & (HEAVY | SLOW | {"scipy.special"}) for names in json.loads(done.stdout))
    assert late == set() and "duckdb" in started
