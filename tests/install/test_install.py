"""What is built can be installed bare, and does there what it says it does; what is left out is asked for by name."""

import ast
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from expunge.errors import EXTRAS
from expunge.ledger import log, releases
from tests.install.bare import Bare, closure, size
from tests.workspace.people import workspace

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FIT = """
import numpy as np
import expunge
from expunge.linear_model import LogisticRegression
rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 3))
y = (X[:, 0] + rng.logistic(size=2000) > 0).astype(int)
model = LogisticRegression(sigma=0.1).fit(X, y)
print(model.forget(X[:1], y[:1]).rung, expunge.__file__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def core(wheel, tmp_path_factory):
    return Bare(tmp_path_factory.mktemp("core") / "env", wheel, PROJECT["dependencies"])


def requirements(*extras):
    """The core's and these extras' own."""
    asked = [*PROJECT["dependencies"]]
    for extra in extras:
        for text in PROJECT["optional-dependencies"][extra]:
            asked += requirements(*text.split("[")[1].rstrip("]").split(",")) if text.startswith("expunge[") else [text]
    return asked


def test_the_wheel_and_the_source_hold_the_package_and_nothing_else(built, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = [path for path in (ROOT / "src/expunge").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    expected = {str(path.relative_to(ROOT / "src")) for path in files}
    assert {name for name in names if ".dist-info/" not in name} >= expected
    assert {name.split("/")[0] for name in names} == {"expunge", f"expunge-{PROJECT['version']}.dist-info"}
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        inside = {"/".join(name.split("/")[1:]) for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", *(f"src/{name}" for name in expected)} <= inside


def test_the_core_learns_and_forgets_without_any_extra(core):
    done = core.run("python", "-c", FIT)
    assert done.returncode == 0, done.stderr
    rung, where = done.stdout.split()
    assert rung == "statistics"
    assert Path(where).is_relative_to(core.bin.parent)  # not the source tree


def test_the_core_is_light():
    assert len(PROJECT["dependencies"]) <= 12
    assert size(closure(PROJECT["dependencies"]).values()) < 620e6


def test_without_an_extra_the_command_line_says_which_one_it_needs(core):
    for command in (("expunge", "--version"), ("python", "-m", "expunge", "status")):
        done = core.run(*command)
        assert done.returncode == 1
        assert done.stderr == "error: the package rich is not installed: pip install 'expunge[verify]'\n" or (
            done.stderr == "error: the package typer is not installed: pip install 'expunge[verify]'\n"
        )


def test_an_auditor_verifies_with_a_crypto_library_alone(wheel, tmp_path):
    made = workspace(tmp_path)
    with made.storage.database.reading() as connection:
        first = releases.all_releases(connection)[0]
        certificate = tmp_path / "certificate.json"
        certificate.write_text(log.bundle(connection, first.envelope, first.event))
    auditor = Bare(tmp_path / "env", wheel, requirements("verify"))
    key = str(made.storage.public_key_path)
    done = auditor.run("expunge", "verify", str(certificate), "--key", key)
    assert done.returncode == 0, done.stderr
    certificate.write_text(certificate.read_text().replace("release.certified", "release.certifeid", 1))
    assert auditor.run("expunge", "verify", str(certificate), "--key", key).returncode == 4
    done = auditor.run("expunge", "status", "-w", str(made.storage.path))
    assert done.returncode == 1
    assert "pip install 'expunge[workspace]'" in done.stderr
    done = auditor.run("expunge", "--version")
    assert done.stdout == f"expunge {PROJECT['version']}\n"


def imported():
    """The packages that the source imports, by the file that does."""
    for path in (ROOT / "src/expunge").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in names:
                if (top := name.split(".")[0]) not in sys.stdlib_module_names and top != "expunge":
                    yield top, path


def test_whatever_is_imported_is_brought_by_the_core_or_by_the_extra_that_is_named():
    core = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    brought = packages_distributions()
    extras = {extra: {canonicalize_name(name) for name in closure(requirements(extra))} for extra in set(EXTRAS.values())}
    for package, path in sorted(set(imported())):
        by = {canonicalize_name(name) for name in brought[package]}
        if package in EXTRAS:
            assert extras[EXTRAS[package]] & by, f"{EXTRAS[package]} does not bring {package}, which {path} imports"
        else:
            assert by & core, f"{package}, which {path} imports, is neither of the core nor named in EXTRAS"
