"""What happened to the institution's account, a line for each entry, from its directory; the agent need not run."""

from pathlib import Path

from atomic_margin.documents.strict import Part
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.institution.store import InstitutionStore, OwnEntry
from atomic_margin.service.protocol.account.entries import Entry


class ListedEntry(Part):
    """One entry of the account.

    Attributes:
        number: of the entry.
        entered_at: the operator's time.
        tick: number of the newest tick then, 0 for none.
        kind: what happened.
        entry: hash of the entry: what `dispute` names.
        document: hash of what it is about; `dispute` takes it too.
    """

    number: str
    entered_at: str
    tick: str
    kind: str
    entry: str
    document: str


def entries_of(directory: Path) -> list[ListedEntry]:
    """Return every entry that the agent in a directory followed, oldest first.

    Raises:
        ConfigurationError: no agent followed an account there.
    """
    if not (directory / "institution.db").exists():
        raise ConfigurationError(
            f"{directory} is no directory of an agent: it has no institution.db; --dir is the folder of `institution "
            "serve --dir`"
        )
    store = InstitutionStore(directory)
    try:
        with store.unit_of_work() as session:
            return [_listed(row) for row in session.query(OwnEntry).order_by(OwnEntry.number)]
    finally:
        store.close()


def _listed(row: OwnEntry) -> ListedEntry:
    said = Entry.parse(row.entry["body"])
    return ListedEntry(
        number=str(row.number),
        entered_at=row.entry["body"]["entered_at"],
        tick=str(said.tick_sequence),
        kind=row.kind,
        entry=row.sha256,
        document=row.document_hash,
    )
