"""Answers to calls with an idempotency key are kept for their repetitions, and suppression lists for later rows.

A key that was used before has no answer here; a call that repeats it is told of the request that it made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds three tables."""
    op.create_table(
        "answers",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sqlite_strict=True,
    )
    op.create_index("answers_by_time", "answers", ["at"], unique=False)
    op.create_table(
        "suppression_lists",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("column", sa.Text(), nullable=False),
        sa.Column("imported", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )
    op.create_table(
        "suppressions",
        sa.Column("tombstone", sa.Text(), nullable=False),
        sa.Column("list", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["list"], ["suppression_lists.name"]),
        sa.PrimaryKeyConstraint("tombstone", "list"),
        sqlite_strict=True,
    )
    op.create_index("suppressions_of_list", "suppressions", ["list"], unique=False)
