"""What the ledger keeps of models."""

from expunge.ledger import releases
from expunge.ledger.database import Database


def test_what_the_log_says_of_a_specification_has_a_salt(tmp_path):
    """Without it, ranges and classes that come from the rows could be tried out against the log."""
    published = []
    for name in ("one", "other"):
        database = Database(f"sqlite:///{tmp_path / name}.sqlite")
        database.migrate()
        with database.engine.begin() as connection:
            published.append(releases.add_model(connection, "churn", "{}", "2026-11-02T00:00:00+00:00"))
            assert len(bytes.fromhex(releases.model(connection, "churn").salt)) == 32
        database.close()
    assert published[0] != published[1]
