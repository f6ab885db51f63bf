"""Add what makes findings of openings void."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "opening_voids",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("closer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["request"],
            ["openings.request"],
        ),
        sa.PrimaryKeyConstraint("request", "session", "closer"),
    )
    with op.batch_alter_table("opening_boxes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("closer", sa.Integer(), nullable=True))
