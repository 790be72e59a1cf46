"""Webhooks are told of more than releases, and requests are reminded of.

A delivery holds the notice that it sends, where it only named a release before; those that were queued or made keep their
numbers and attempts, and say of their release what such a notice says now. A request notes its last reminder.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the tables of now out of those of before."""
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    op.add_column("requests", sa.Column("reminded", whole))
    found = op.get_bind().execute(
        sa.text(
            "SELECT d.id, d.webhook, d.attempts, d.due, d.outcome, r.id AS certificate, r.model, r.number, r.at "
            "FROM deliveries AS d JOIN releases AS r ON r.id = d.release"
        )
    )
    kept = [
        {
            **{name: row[name] for name in ("id", "webhook", "attempts", "due", "outcome")},
            "event": "release.certified",
            "body": json.dumps(
                {
                    "at": row["at"],
                    "certificate": row["certificate"],
                    "event": "release.certified",
                    "model": row["model"],
                    "release": row["number"],
                },
                separators=(",", ":"),
            ),
            "queued": row["at"],
            "seal": "",
        }
        for row in found.mappings()
    ]
    op.drop_table("deliveries")
    made = op.create_table(
        "deliveries",
        sa.Column("id", whole, autoincrement=False, nullable=False),
        sa.Column("webhook", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("queued", sa.Text(), nullable=False),
        sa.Column("attempts", whole, nullable=False),
        sa.Column("due", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["webhook"], ["webhooks.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("deliveries_due", "deliveries", ["due"], unique=False)
    op.create_index("deliveries_of_webhook", "deliveries", ["webhook", "id"], unique=False)
    if kept:
        op.bulk_insert(made, kept)
