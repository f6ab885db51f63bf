"""Index runs by state."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Take the step."""
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index("ix_runs_institution_number", ["institution", "number"], unique=False)
        batch_op.create_index("ix_runs_institution_state", ["institution", "state"], unique=False)
        batch_op.create_index("ix_runs_state", ["state", "price_sequence", "institution"], unique=False)

    with op.batch_alter_table("shortfalls", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shortfalls_state"), ["state"], unique=False)
