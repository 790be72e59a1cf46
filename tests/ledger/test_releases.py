"""What the ledger keeps of models."""

from expunge.ledger import releases
from expunge.ledger.database import Database
from expunge.ledger.sealing import SealKey

KEY = SealKey(bytes(32))


def test_what_the_log_says_of_a_specification_has_a_salt(tmp_path):
    """Without it, ranges and classes that come from the rows could be tried out against the log."""
    published = []
    for name in ("one", "other"):
        database = Database(f"sqlite:///{tmp_path / name}.sqlite", KEY)
        database.migrate()
        with database.writing() as connection:
            published.append(releases.add_model(connection, "churn", "{}", "2026-11-02T00:00:00+00:00"))
            assert len(bytes.fromhex(releases.model(connection, "churn").salt)) == 32
        database.close()
    assert published[0] != published[1]
