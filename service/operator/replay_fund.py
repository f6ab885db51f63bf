"""Hold the guarantee fund against the entries of its members: a part of `operator replay`.

Its documents follow one another and count what members have; each member's share is what its account says; every
close-out among them ended the default of an account here; and nobody was drawn on but by one of them.
"""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.service.errors import FundBroken, HistoryDiffers
from atomic_margin.service.operator.accounts.defaults import fund_documents
from atomic_margin.service.operator.store.entries import document_of
from atomic_margin.service.operator.store.tables import EntryRow
from atomic_margin.service.protocol.account.default_documents import CloseOut
from atomic_margin.service.protocol.account.default_state import FundShare
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.fund import fund_after


def compare_fund(session: Session, operator: str, shares: Mapping[str, FundShare | None]) -> None:
    """Compare the fund with the accounts.

    Args:
        session: a unit of work.
        operator: public key of the operator.
        shares: of every account, as its entries give it.

    Raises:
        HistoryDiffers: they differ.
    """
    documents = fund_documents(session)
    try:
        fund = fund_after(documents, operator)
    except FundBroken as error:
        raise HistoryDiffers(f"the guarantee fund: {error}") from error
    said = {(rules, name): quantity for rules in fund.held for name, quantity in fund.of(rules).items()}
    found = {(one.rules, name): one.quantity for name, one in shares.items() if one is not None and one.quantity}
    for key in sorted({*said, *found}):
        if said.get(key, 0) != found.get(key, 0):
            raise HistoryDiffers(
                f"the fund's documents give {key[1]!r} {said.get(key, 0)} under the rules {key[0]}, its entries "
                f"{found.get(key, 0)}"
            )
    closings = {document.body_hash() for document in documents if document.type == CloseOut.TYPE}
    ended = set(session.scalars(select(EntryRow.subject).where(EntryRow.kind == str(EventKind.DEFAULT_CLOSED))))
    odd = sorted(closings ^ ended)
    if odd:
        where = "the fund's documents" if odd[0] in closings else "an account's entries"
        raise HistoryDiffers(f"close-out {odd[0]} is in {where} alone")
    for row in session.scalars(select(EntryRow).where(EntryRow.kind == str(EventKind.FUND_DRAWN))):
        named = canonical_hash(CloseOut.TYPE, document_of(session, row)["body"]["close_out"])
        if named not in closings:
            raise HistoryDiffers(f"account {row.institution!r} was drawn on for close-out {named}, which ended nothing")
