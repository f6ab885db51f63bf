"""Add tables of re-sharings."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "resharings",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("institution", sa.String(length=64), nullable=False),
        sa.Column("deal", sa.String(length=64), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("stage", sa.String(length=7), nullable=False),
        sa.Column("asked_at", sa.String(length=20), nullable=False),
        sa.Column("expires_at", sa.String(length=20), nullable=False),
        sa.Column("new_deal", sa.String(length=64), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["institution"],
            ["accounts.institution"],
        ),
        sa.PrimaryKeyConstraint("request"),
    )
    with op.batch_alter_table("resharings", schema=None) as batch_op:
        for name in ("institution", "deal", "stage", "new_deal"):
            batch_op.create_index(batch_op.f(f"ix_resharings_{name}"), [name], unique=False)

    op.create_table(
        "resharing_dealers",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("point", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("upload", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("blamed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request"],
            ["resharings.request"],
        ),
        sa.PrimaryKeyConstraint("request", "point"),
    )
    with op.batch_alter_table("resharing_dealers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_resharing_dealers_identity"), ["identity"], unique=False)

    op.create_table(
        "resharing_holders",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("point", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("receipt", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("complaint", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["request"],
            ["resharings.request"],
        ),
        sa.PrimaryKeyConstraint("request", "point"),
    )
    with op.batch_alter_table("resharing_holders", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_resharing_holders_identity"), ["identity"], unique=False)
