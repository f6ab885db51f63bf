"""Add tables of custody."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "custodians",
        sa.Column("institution", sa.String(length=64), nullable=False),
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("point", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["institution"],
            ["accounts.institution"],
        ),
        sa.PrimaryKeyConstraint("institution", "policy", "point"),
    )
    with op.batch_alter_table("custodians", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_custodians_identity"), ["identity"], unique=False)

    op.create_table(
        "dealings",
        sa.Column("deal", sa.String(length=64), nullable=False),
        sa.Column("institution", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("coefficients", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.String(length=20), nullable=False),
        sa.Column("expires_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["institution"],
            ["accounts.institution"],
        ),
        sa.PrimaryKeyConstraint("deal"),
        sa.UniqueConstraint("sha256"),
    )
    with op.batch_alter_table("dealings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dealings_institution"), ["institution"], unique=False)

    op.create_table(
        "dealt",
        sa.Column("deal", sa.String(length=64), nullable=False),
        sa.Column("point", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("box", sa.String(length=64), nullable=False),
        sa.Column("receipt", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("complaint", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["deal"],
            ["dealings.deal"],
        ),
        sa.PrimaryKeyConstraint("deal", "point"),
    )
    with op.batch_alter_table("dealt", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dealt_identity"), ["identity"], unique=False)

    op.create_table(
        "openings",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("institution", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.String(length=20), nullable=False),
        sa.Column("lapses_at", sa.String(length=20), nullable=False),
        sa.Column("finding", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("finding_hash", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["institution"],
            ["accounts.institution"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.run_id"],
        ),
        sa.PrimaryKeyConstraint("request"),
    )
    with op.batch_alter_table("openings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_openings_institution"), ["institution"], unique=False)
        batch_op.create_index(batch_op.f("ix_openings_open"), ["open"], unique=False)

    op.create_table(
        "opening_boxes",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("session", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("point", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("box", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request"],
            ["openings.request"],
        ),
        sa.PrimaryKeyConstraint("request", "session", "point"),
    )
    op.create_table(
        "opening_parts",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("point", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("address", sa.String(length=263), nullable=True),
        sa.Column("gave_up", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("refusal", sa.String(length=500), nullable=True),
        sa.Column("verdict", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["request"],
            ["openings.request"],
        ),
        sa.PrimaryKeyConstraint("request", "point"),
    )
    op.create_table(
        "opening_sessions",
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("present", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("closer", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["request"],
            ["openings.request"],
        ),
        sa.PrimaryKeyConstraint("request", "number"),
    )
