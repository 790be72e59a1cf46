"""Long work is a job, processes of the service are known to each other, and who has fetched which release is recorded.

A model whose state file could not be read notes what the file was like, and is tried again once that changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds three tables, and to models what a state file was like that could not be read."""
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    op.add_column("models", sa.Column("unreadable", sa.Text()))
    op.create_table(
        "jobs",
        sa.Column("id", whole, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model", sa.Text()),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("started", sa.Text()),
        sa.Column("ended", sa.Text()),
        sa.Column("progress", sa.Text()),
        sa.Column("result", sa.Text()),
        sa.Column("cause", sa.Text()),
        sa.Column("problem", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("jobs_by_state", "jobs", ["state", "id"], unique=False)
    op.create_index("jobs_by_kind", "jobs", ["kind", "id"], unique=False)
    op.create_table(
        "instances",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_table(
        "pulls",
        sa.Column("release", whole, autoincrement=False, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("first", sa.Text(), nullable=False),
        sa.Column("last", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["release"], ["releases.id"]),
        sa.ForeignKeyConstraint(["token"], ["tokens.id"]),
        sa.PrimaryKeyConstraint("release", "token"),
        sqlite_strict=True,
    )
