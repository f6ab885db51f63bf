"""How Alembic runs the steps: in the connection and the transaction that `migrations` gave it. Run by Alembic alone."""

from alembic import context

from atomic_margin.service.operator.store import idempotency as _idempotency  # noqa: F401  # its table is one of them
from atomic_margin.service.operator.store import rail_tables as _rail_tables  # noqa: F401  # and these
from atomic_margin.service.operator.store.tables import Base


def run() -> None:
    """Run what was asked for."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        # All steps or none, on SQLite too: the driver does not commit by itself there, see `store.database`.
        transactional_ddl=True,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


# The name that Alembic gives it: whoever imports it otherwise runs nothing.
if __name__ == "env_py":
    run()
