"""Write what the agent knows of its account, for an operator that was restored from an older backup. For the CLI."""

from pathlib import Path

from sqlalchemy.orm import Session

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.institution.store import InstitutionStore, OwnAccount, OwnEntry, SeenTick, find_sent
from atomic_margin.service.protocol.account_export import AccountExport


def exported(directory: Path, after: int = 0) -> AccountExport:
    """Return the entries after a number, and every tick that is kept. The agent need not run.

    Raises:
        ConfigurationError: no agent followed an account there.
    """
    if not (directory / "institution.db").exists():
        raise ConfigurationError(f"{directory} has no institution.db; --dir is the folder of `institution serve --dir`")
    store = InstitutionStore(directory)
    try:
        with store.unit_of_work() as session:
            account, first = session.get(OwnAccount, 1), session.get(OwnEntry, 1)
            if account is None or first is None or first.document is None:
                raise ConfigurationError(f"the agent in {directory} has followed no account yet")
            rows = session.query(OwnEntry).filter(OwnEntry.number > after).order_by(OwnEntry.number)
            return AccountExport.parse(
                {
                    "format": "atomic-margin/account-export/1",
                    "institution": first.document["body"]["institution"],
                    "seed": account.seed,
                    "entries": [{"entry": row.entry, "document": _document_of(session, row)} for row in rows],
                    "ticks": [tick.document for tick in session.query(SeenTick).order_by(SeenTick.sequence)],
                }
            )
    finally:
        store.close()


def _document_of(session: Session, row: OwnEntry) -> dict[str, object]:
    own = None if row.document is not None else find_sent(session, row.document_hash)
    document = row.document if own is None else own.document
    if document is None:
        raise ConfigurationError(f"the document of entry {row.number} is not in the agent's database; restore a backup")
    return document
