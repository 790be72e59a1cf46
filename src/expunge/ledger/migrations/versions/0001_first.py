"""The first tables, as they were when they were first released."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables."""
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    op.create_table(
        "batches",
        sa.Column("id", whole, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("states", sa.Text(), nullable=False),
        sa.Column("content", sa.Text()),
        sa.Column("started", sa.Text(), nullable=False),
        sa.Column("closed", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("batches_open", "batches", ["state"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("size", whole, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
        sqlite_strict=True,
    )
    op.create_table(
        "data_files",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", whole, nullable=False),
        sa.Column("size", whole, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch", whole, nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
        sqlite_strict=True,
    )
    op.create_index("data_files_by_state", "data_files", ["state"], unique=False)
    op.create_table(
        "events",
        sa.Column("seq", whole, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_strict=True,
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )
    op.create_table(
        "held",
        sa.Column("id", whole, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_table(
        "models",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("specification", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("owed_since", sa.Text()),
        sa.Column("aside", sa.Text()),
        sa.Column("again", sa.Text()),
        sa.Column("retired", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )
    op.create_table(
        "public_keys",
        sa.Column("keyid", sa.Text(), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("until", sa.Text()),
        sa.Column("endorsement", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("keyid"),
        sqlite_strict=True,
    )
    op.create_table(
        "seals",
        sa.Column("id", whole, autoincrement=False, nullable=False),
        sa.Column("serial", whole, nullable=False),
        sa.Column("total", sa.Text(), nullable=False),
        sa.Column("rows", whole, nullable=False),
        sa.Column("size", whole, nullable=False),
        sa.Column("peaks", sa.Text(), nullable=False),
        sa.Column("mac", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("revoked", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_table(
        "releases",
        sa.Column("id", whole, autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", whole, nullable=False),
        sa.Column("batch", whole, nullable=False),
        sa.Column("event", whole, nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("weights", sa.LargeBinary()),
        sa.Column("state_digest", sa.Text()),
        sa.Column("table_digest", sa.Text()),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("purged", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch"],
            ["batches.id"],
        ),
        sa.ForeignKeyConstraint(
            ["model"],
            ["models.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("releases_by_batch", "releases", ["batch"], unique=False)
    op.create_index("releases_of_model", "releases", ["model", "number"], unique=True)
    op.create_table(
        "requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("tombstone", sa.Text(), nullable=False),
        sa.Column("commitment", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("attempts", whole, nullable=False),
        sa.Column("again", sa.Text()),
        sa.Column("batch", whole),
        sa.Column("received", sa.Text(), nullable=False),
        sa.Column("deadline", sa.Text(), nullable=False),
        sa.Column("closed", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch"],
            ["batches.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sqlite_strict=True,
    )
    op.create_index("requests_by_actor", "requests", ["actor", "received"], unique=False)
    op.create_index("requests_by_batch", "requests", ["batch"], unique=False)
    op.create_index("requests_by_state", "requests", ["state", "deadline"], unique=False)
    op.create_index("requests_by_time", "requests", ["received", "id"], unique=False)
    op.create_index("requests_by_tombstone", "requests", ["tombstone"], unique=False)
    op.create_table(
        "alias_tombstones",
        sa.Column("tombstone", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request"],
            ["requests.id"],
        ),
        sa.PrimaryKeyConstraint("tombstone", "request"),
        sqlite_strict=True,
    )
    op.create_index("alias_tombstones_by_request", "alias_tombstones", ["request"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", whole, autoincrement=False, nullable=False),
        sa.Column("webhook", sa.Text(), nullable=False),
        sa.Column("release", whole, nullable=False),
        sa.Column("attempts", whole, nullable=False),
        sa.Column("due", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release"],
            ["releases.id"],
        ),
        sa.ForeignKeyConstraint(["webhook"], ["webhooks.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("deliveries_due", "deliveries", ["due"], unique=False)
    op.create_table(
        "forgotten_by",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("batch", whole, nullable=False),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch"],
            ["batches.id"],
        ),
        sa.ForeignKeyConstraint(
            ["request"],
            ["requests.id"],
        ),
        sa.PrimaryKeyConstraint("request", "model"),
        sqlite_strict=True,
    )
