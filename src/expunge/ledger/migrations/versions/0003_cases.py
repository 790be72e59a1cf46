"""Requests have a day of receipt, a channel, a hold, extensions, reasons and approvals; case files, notes and acts beside them.

The day of receipt of an older request is the day on which it was entered. Its deadline stays what its receipt says.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MORE = ("channel", "first_deadline", "extension", "reason", "hold", "lot", "approved_by")


def upgrade() -> None:
    """Makes the tables of now out of those of before."""
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    op.add_column("requests", sa.Column("received_on", sa.Text(), nullable=False, server_default=""))
    for name in MORE:
        op.add_column("requests", sa.Column(name, sa.Text()))
    op.execute("UPDATE requests SET received_on = substr(received, 1, 10)")
    op.create_index("requests_by_state_and_time", "requests", ["state", "received", "id"], unique=False)
    op.create_index("requests_by_day", "requests", ["received_on"], unique=False)
    op.create_index("requests_by_end", "requests", ["closed", "id"], unique=False)
    op.create_index("requests_by_deadline", "requests", ["deadline", "id"], unique=False)
    op.create_index("requests_by_lot", "requests", ["lot"], unique=False)
    op.create_table(
        "case_files",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text()),
        sa.Column("checked_by", sa.Text()),
        sa.Column("seal", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["requests.id"]),
        sa.PrimaryKeyConstraint("request"),
        sqlite_strict=True,
    )
    op.create_index("case_files_by_reference", "case_files", ["reference"], unique=False)
    for name, columns in (("notes", [sa.Column("text", sa.Text(), nullable=False)]), ("acts", _act())):
        op.create_table(
            name,
            sa.Column("id", whole, autoincrement=False, nullable=False),
            sa.Column("request", sa.Text(), nullable=False),
            sa.Column("at", sa.Text(), nullable=False),
            sa.Column("actor", sa.Text(), nullable=False),
            *columns,
            sa.Column("seal", sa.Text(), nullable=False),
            sa.ForeignKeyConstraint(["request"], ["requests.id"]),
            sa.PrimaryKeyConstraint("id"),
            sqlite_strict=True,
        )
        op.create_index(f"{name}_by_request", name, ["request"], unique=False)


def _act() -> list[sa.Column[str]]:
    return [sa.Column("act", sa.Text(), nullable=False), sa.Column("reason", sa.Text())]
