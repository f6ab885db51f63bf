"""Write the step from the tables that the migrations make to those of `store.tables`: scripts/migration.py "add x".

Read what it writes before it is committed: a renamed column looks to it like one that goes and one that comes. Then
raise `NEWEST` in `store/migrations/__init__.py` to its number; tests/service/test_migrations.py asks for both.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations.ops import MigrationScript
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from atomic_margin.service.operator.store import custody_tables as _custody_tables  # noqa: F401  # as are these
from atomic_margin.service.operator.store import idempotency as _idempotency  # noqa: F401  # its table is one of them
from atomic_margin.service.operator.store import migrations
from atomic_margin.service.operator.store import rail_tables as _rail_tables  # noqa: F401  # and these
from atomic_margin.service.operator.store.tables import Base

TEMPLATE = '''"""{title}"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {before!r}


def upgrade() -> None:
    """Take the step."""
    {body}
'''


def main(what: str) -> Path:
    """Write the next step; return its file."""
    with create_engine("sqlite://").begin() as connection:
        config = migrations.configuration(connection)
        before = ScriptDirectory.from_config(config).get_current_head()
        if before is not None:
            command.upgrade(config, before)
        options = {"target_metadata": Base.metadata, "render_as_batch": True}
        found: MigrationScript = produce_migrations(MigrationContext.configure(connection, opts=options), Base.metadata)
        body = render_python_code(found.upgrade_ops, render_as_batch=True)
    revision = f"{int(before or 0) + 1:04d}"
    name = "_".join(what.lower().split())
    path = Path(migrations.__file__).parent / "versions" / f"v{revision}_{name}.py"
    title = f"{what[0].upper()}{what[1:]}."
    lines = [line for line in body.strip().splitlines() if "###" not in line]
    path.write_text(TEMPLATE.format(title=title, revision=revision, before=before, body="\n".join(lines).strip()))
    return path


if __name__ == "__main__":
    print(main(sys.argv[1]))
