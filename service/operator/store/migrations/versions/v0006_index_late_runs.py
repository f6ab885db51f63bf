"""Index late runs."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Take the step."""
    op.create_index("ix_runs_state_deadline", "runs", ["state", "deadline"])
