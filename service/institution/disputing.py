"""Dispute an entry of the account, offer what ends the dispute, or withdraw it. The operator's people read the reasons.

Dispute and withdrawal are sent until an entry has them. What ends a dispute is an offer: the institution is bound to it
until the tick that it names, so no second one is signed before that tick has passed.
"""

from typing import Any

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import OwnDocument, OwnEntry
from atomic_margin.service.protocol.account.state import Account, OpenDispute
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.dispute_messages import Disputing, Proposal
from atomic_margin.service.protocol.disputes import Dispute, DisputeResolution, DisputeWithdrawal
from atomic_margin.service.protocol.signing import SignedDocument


def dispute(party: Party, outbox: Outbox, said: Disputing) -> str:
    """Dispute an entry, named by its hash or by that of its document; return the hash of what was signed.

    Raises:
        AgentRefused: the account has no such entry, or a dispute is open or on its way.
        DocumentError: it is no dispute, by field.
        RemoteError: the operator refuses, and nothing is sent again; or does not answer, and it is.
        EntryRefused: the operator says it took it, and the account does not have it.
    """
    public = _state(party).public
    if public.disputes is not None and public.disputes.open is not None:
        raise AgentRefused("a dispute is open; resolve or withdraw it first")
    if any(isinstance(row, OwnDocument) and row.type == Dispute.TYPE for row in outbox.outstanding()):
        raise AgentRefused("a dispute is on its way to the operator; it is sent until an entry has it")
    with party.store.unit_of_work() as session:
        either = (OwnEntry.sha256 == said.subject) | (OwnEntry.document_hash == said.subject)
        subject = session.query(OwnEntry).filter(either).first()
    if subject is None:
        raise AgentRefused(
            f"the account has no entry {said.subject[:16]}…, nor one about a document of that hash; "
            "`atomic-margin institution entries` lists them"
        )
    newest = public.newest
    if newest.market == 0:
        raise AgentRefused("there were no prices yet; dispute it at the first tick")
    priced_at = instant_text(party.chain.market_of(newest.market, newest.market_hash).as_of)
    body: dict[str, Any] = {
        "sequence": str(1 if public.disputes is None else public.disputes.sequence + 1),
        "subject": subject.sha256,
        "number": str(subject.number),
        "price_sequence": str(newest.market),
        "tick": newest.market_hash,
        "priced_at": priced_at,
        **said.model_dump(exclude={"subject"}, exclude_none=True),
    }
    return _sent(party, outbox, Dispute, body)


def withdraw(party: Party, outbox: Outbox) -> str:
    """Withdraw the open dispute; return the hash of what was signed.

    Raises:
        AgentRefused: none is open.
        RemoteError, EntryRefused: as `dispute`.
    """
    return _sent(party, outbox, DisputeWithdrawal, {"dispute": _open(party).dispute})


def resolve(party: Party, outbox: Outbox, said: Proposal | None, ticks: int) -> str:
    """Offer what ends the open dispute, or sign what the operator proposes; return the hash of what was signed.

    It is not sent again by itself: it is a question, and whoever asks sees that it arrived. The same offer again is the
    one that was signed.

    Args:
        party: the institution.
        outbox: keeps it.
        said: what is offered; None for what the operator proposes.
        ticks: for which the institution is bound to it.

    Raises:
        AgentRefused: no dispute is open, nothing is proposed, or the institution is bound to another offer.
        DocumentError: it is no resolution, by field.
        RemoteError: the operator does not answer, or nothing could be entered of it now.
    """
    opened, newest = _open(party), _state(party).public.newest
    if said is None:
        shown = party.client.disputes().open
        if shown is None or shown.dispute != opened.dispute or shown.proposed is None:
            raise AgentRefused("the operator proposes nothing; say what you offer with --outcome and --words")
        said = shown.proposed
    offered = said.model_dump(exclude_none=True)
    for signed in _offers(party):
        earlier = DisputeResolution.parse(signed.body)
        if earlier.dispute != opened.dispute or earlier.until < newest.tick:
            continue
        if earlier.model_dump(include={"outcome", "amount", "words"}, exclude_none=True) != offered:
            raise AgentRefused(
                f"another offer binds this institution until tick {earlier.until}, and the operator may enter either; "
                "offer anew after it, or withdraw the dispute"
            )
        party.client.offer_resolution(signed.to_json())
        return signed.body_hash()
    body = DisputeResolution.parse(
        {**_addressed(party), "dispute": opened.dispute, "until": str(newest.tick + ticks), **offered}
    )
    signed_now = body.signed_by(party.identity)
    outbox.keep(signed_now)
    party.client.offer_resolution(signed_now.to_json())
    return signed_now.body_hash()


def shown(state: Account | None) -> str | None:
    """Say which dispute holds an account, or None."""
    if state is None or state.public.disputes is None or state.public.disputes.open is None:
        return None
    opened = state.public.disputes.open
    return (
        f"{opened.kind} of entry {opened.number} is disputed: nothing leaves the account before {opened.dispute} ends"
    )


def _sent(party: Party, outbox: Outbox, kind: type[Body], body: dict[str, Any]) -> str:
    signed = kind.parse({**_addressed(party), **body}).signed_by(party.identity)
    outbox.keep(signed)
    outbox.send(signed)
    return signed.body_hash()


def _addressed(party: Party) -> dict[str, Any]:
    settings = party.settings
    return {"institution": settings.institution, "operator": settings.trust.operator, "entry": party.history.head}


def _state(party: Party) -> Account:
    if party.history.state is None:
        raise AgentRefused("the agent is not enrolled yet; enrol first")
    return party.history.state


def _offers(party: Party) -> list[SignedDocument]:
    with party.store.unit_of_work() as session:
        rows = session.query(OwnDocument).filter_by(type=DisputeResolution.TYPE, entry=None).order_by(OwnDocument.id)
        return [SignedDocument.parse(row.document) for row in rows]


def _open(party: Party) -> OpenDispute:
    disputes = _state(party).public.disputes
    if disputes is None or disputes.open is None:
        raise AgentRefused("no dispute is open")
    return disputes.open
