"""Shared fixtures; Hypothesis profiles: `make soak` searches twenty times longer, each of `make mutants` a tenth as long."""

import gc
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings

from expunge.privacy import noise
from tests.forks import SHARED, Forks
from tests.servers import PostgreSQL
from tests.site import build

noise.AHEAD = 64  # few tests ask for the same noise again: what is drawn ahead, half a second for each σ, is for nobody
SOAK = 20 if os.environ.get("EXPUNGE_SOAK") else 1
FOR_MUTANTS = bool(os.environ.get("EXPUNGE_MUTANTS"))
settings.register_profile("expunge", deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
settings.register_profile(
    "mutants",
    settings.get_profile("expunge"),
    max_examples=20,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("mutants" if FOR_MUTANTS else "expunge")


def examples(n: int) -> int:
    """On how many examples a property is tried that is usually tried on ``n``."""
    return max(1, n * SOAK // (10 if FOR_MUTANTS else 1))


def pytest_collection_finish() -> None:
    """All that is loaded by now stays: nobody need look through it for garbage, again and again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter) -> None:
    """Prints the figures that tests have recorded, wherever they ran."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    for report in reports:
        for name, value in report.user_properties:
            if name == "figures" and report.when == "call":
                terminalreporter.write_sep("-", report.nodeid)
                terminalreporter.write_line(value)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def postgresql():
    server = PostgreSQL()
    yield server
    server.remove()


@pytest.fixture(scope="session", autouse=True)
def shared(tmp_path_factory):
    """A folder of all processes of this test run, for what is made once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    os.environ[SHARED] = str(folder)
    return folder


@pytest.fixture(scope="session")
def forks(shared):
    """The process that plays what forks."""
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def site(shared) -> str:
    """What the builder of the documentation said; its pages are in ``tests.site.SITE``."""
    return build(shared)
