"""Claims of runs, readers by key, kept answers; no more tokens of institutions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "idempotency",
        sa.Column("caller", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.String(length=128), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key"),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_at"), ["at"], unique=False)

    # Not in a batch, which would make the table anew: other tables have keys of it.
    op.drop_column("accounts", "token_sha256")

    with op.batch_alter_table("readers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("public_key", sa.String(length=64), nullable=True))
        batch_op.alter_column("token_sha256", existing_type=sa.VARCHAR(length=64), nullable=True)
        batch_op.create_index(batch_op.f("ix_readers_public_key"), ["public_key"], unique=False)

    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("claimed_by", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("lease_until", sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column("interruptions", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("worker_deaths", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("retry_at", sa.String(length=20), nullable=True))

    with op.batch_alter_table("shortfalls", schema=None) as batch_op:
        batch_op.add_column(sa.Column("claimed_by", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("lease_until", sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column("interruptions", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("worker_deaths", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("retry_at", sa.String(length=20), nullable=True))
