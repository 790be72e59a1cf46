"""Fixtures: an empty ledger on each database, and a key that signs."""

import pytest

from expunge.evidence.signing import SigningKey
from expunge.ledger.database import Database
from expunge.ledger.sealing import SealKey

KEY = SealKey(bytes(32))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    url = (
        f"sqlite:///{tmp_path}/l.sqlite" if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()
    )
    made = Database(url, KEY)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def key(tmp_path):
    return SigningKey.create(tmp_path)
