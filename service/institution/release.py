"""The institution's account as it releases it to others, from its directory; the agent need not run."""

from pathlib import Path
from typing import Any

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.institution.store import InstitutionStore, OwnAccount, OwnEntry, find_sent
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.released import release
from atomic_margin.service.protocol.signing import SignedDocument


def released_of(directory: Path) -> dict[str, Any]:
    """Return every entry that the agent in a directory followed, with what may be shown of each.

    Raises:
        ConfigurationError: no agent followed an account there.
        EntryRefused: what is stored is no history.
    """
    if not (directory / "institution.db").exists():
        raise ConfigurationError(f"{directory} is no directory of an agent: it has no institution.db")
    store = InstitutionStore(directory)
    entries = []
    try:
        with store.unit_of_work() as session:
            account = session.get(OwnAccount, 1)
            for row in session.query(OwnEntry).order_by(OwnEntry.number):
                own = find_sent(session, row.document_hash)
                document = row.document if own is None else own.document
                entries.append((SignedDocument.parse(row.entry), SignedDocument.parse(document)))
    finally:
        store.close()
    if account is None or not entries:
        raise ConfigurationError(f"the agent in {directory} has followed no entry yet; start it first")
    return release(entries, Salts(account.seed), entries[0][0].body["operator"])
