"""Requests may ask for restriction; lists of hashed ids note who imported them, whom they found, and when they applied.

A list that was imported before has nobody noted; how many people it found then is not known.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Adds columns to two tables; old rows have nothing in them."""
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    op.add_column("requests", sa.Column("ground", sa.Text()))
    op.add_column("requests", sa.Column("lifted", sa.Text()))
    op.add_column("suppression_lists", sa.Column("actor", sa.Text()))
    op.add_column("suppression_lists", sa.Column("matched", whole))
    op.add_column("suppression_lists", sa.Column("applied", sa.Text()))
