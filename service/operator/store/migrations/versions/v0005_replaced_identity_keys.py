"""Replaced identity keys."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "replaced_keys",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("institution", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["institution"], ["accounts.institution"]),
        sa.PrimaryKeyConstraint("key"),
    )
