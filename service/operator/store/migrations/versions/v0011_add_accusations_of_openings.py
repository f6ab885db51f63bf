"""Whom a closer accuses of wrong shares of rows."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "opening_accusations",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("point", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("closer", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(
            ["request"],
            ["openings.request"],
        ),
        sa.PrimaryKeyConstraint("request", "session", "point"),
    )
