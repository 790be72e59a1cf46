"""Shared fixtures; Hypothesis profiles: `make soak` searches twenty times longer."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests.servers import PostgreSQL

SOAK = 20 if os.environ.get("EXPUNGE_SOAK") else 1
settings.register_profile("expunge", deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
settings.load_profile("expunge")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def postgresql():
    server = PostgreSQL()
    yield server
    server.remove()
