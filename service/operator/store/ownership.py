"""Whose a database is: the operator's whose key signed its entries. Nobody else may go on with it."""

from pathlib import Path

from sqlalchemy import select

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import EntryRow
from atomic_margin.service.protocol.signing import Identity


def require_own(store: Store, key: Path) -> None:
    """Make sure that a database is empty, or that the key in a file signed its newest entry.

    A key made anew, as after a restore without keys, would begin a second history under the names of the first.

    Raises:
        ConfigurationError: the key is another, or not there.
    """
    with store.reading() as session:
        entry = session.scalar(select(EntryRow.entry).order_by(EntryRow.leaf.desc()).limit(1))
    if entry is None:
        return
    if not key.is_file():
        store.close()
        raise ConfigurationError(f"the database is operator {entry['signer']}'s: put its key back, as {key}")
    own = Identity.load_or_create(key).public_key
    if own != entry["signer"]:
        store.close()
        raise ConfigurationError(f"the database is operator {entry['signer']}'s, and {key} is the key of {own}")
