"""Whom institutions name to read their bundles. Who may besides, and who is one of them, is for the web face."""

from sqlalchemy import delete, select

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
            session.add(ReaderRow(institution=institution, **reader.model_dump()))
    return entry


def readable(operator: Operator, institutions: frozenset[str] | None) -> list[str]:
    """Return the runs whose bundles there are, in order, of some institutions or, with None, of all."""
    with operator.store.reading() as session:
        query = select(AttestationRow.run_id).order_by(AttestationRow.run_id)
        if institutions is not None:
            query = query.join(Run, Run.run_id == AttestationRow.run_id)
            query = query.where(Run.institution.in_(institutions))
        return list(session.scalars(query))
