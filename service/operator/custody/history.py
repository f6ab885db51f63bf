"""The history of an account, for its custodians: what its institution could release of it."""

from typing import Any

from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.released import release


def released(operator: Operator, institution: str) -> dict[str, Any]:
    """Return every entry of an account, with what may be shown of each (`protocol.released`).

    Raises:
        NotFound: there is no such account.
    """
    account = operator.account(institution)
    with operator.store.reading() as session:
        stored = [(one.entry, one.document) for one in entries.entries_after(session, institution, 0, account.entries)]
    return release(stored, Salts(account.seed), operator.identity.public_key)
