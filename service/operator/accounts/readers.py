"""Who may read the bundles of an institution: itself, the operator, and whom the institution names."""

import hashlib

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from atomic_margin.service.errors import NotAuthorised
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, AttestationRow, ReaderRow, Run
from atomic_margin.service.protocol.account.events import Readers
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import SignedDocument


def name_readers(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Take an institution's list of readers; return the signed entry. The same list again gets the same entry.

    Raises:
        SignatureInvalid, Conflict, DocumentError: what is wrong; nothing is stored.
    """
    account = operator.account(institution)
    signed, named = parse_signed(document, Readers)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        entries.require_known(session, institution, named.entry)
        entry = entries.enter(session, operator.book, session.get_one(Account, institution), signed)
        session.execute(delete(ReaderRow).where(ReaderRow.institution == institution))
        for reader in named.readers:
            session.add(ReaderRow(institution=institution, name=reader.name, token_sha256=reader.token_sha256))
    return entry


def readable(operator: Operator, token: str | None) -> list[str]:
    """Return the runs whose bundles a token opens, in order.

    Raises:
        NotAuthorised: it opens none, whether there are any or not.
    """
    with operator.store.reading() as session:
        query = select(AttestationRow.run_id).order_by(AttestationRow.run_id)
        if not operator.is_admin(token):
            query = query.join(Run, Run.run_id == AttestationRow.run_id)
            query = query.where(Run.institution.in_(_institutions(session, token)))
        return list(session.scalars(query))


def require_reader(operator: Operator, run_id: str, token: str | None) -> None:
    """Make sure a token opens the bundle of a run.

    Raises:
        NotAuthorised: it does not, or there is no such run, so that names cannot be probed.
    """
    if operator.is_admin(token):
        return
    with operator.store.reading() as session:
        run = session.get(Run, run_id)
        if run is None or run.institution not in _institutions(session, token):
            raise _refusal()


def _institutions(session: Session, token: str | None) -> set[str]:
    """Return whose bundles a token opens: its own, and of those that named it."""
    presented = hashlib.sha256((token or "").encode()).hexdigest()
    own = session.scalars(select(Account.institution).where(Account.token_sha256 == presented))
    named = session.scalars(select(ReaderRow.institution).where(ReaderRow.token_sha256 == presented))
    found = {*own, *named}
    if not found:
        raise _refusal()
    return found


def _refusal() -> NotAuthorised:
    return NotAuthorised(
        "bundles are for whom the institution names: send `Authorization: Bearer` with the token that it gave you"
    )
