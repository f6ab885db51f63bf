"""Stages of an account for tests of the machine, and what tests of refusals share."""

from typing import Any

import pytest

from atomic_margin.service.errors import IllegalTransition, InsufficientFunds
from atomic_margin.service.protocol.account.entries import Entry, extended, salted_hash
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState

from .documents import LOG, TIME, Parties


def booked() -> Parties:
    """Book `a` is in force, 100 are posted and 900 free, and the first tick came after it: a run is due."""
    parties = Parties()
    parties.opened()
    parties.enter(parties.instruction(1, "post", 100))
    parties.enter(parties.submission(1, "a"))
    parties.tick()
    return parties


def evaluating() -> Parties:
    parties = booked()
    parties.enter(parties.run_opened())
    return parties


def recorded() -> Parties:
    """An evaluated run waits for its answer."""
    parties = evaluating()
    parties.enter(parties.record())
    return parties


def covered() -> Parties:
    """The book in force was proven covered at the newest tick."""
    parties = recorded()
    parties.enter(parties.answer("covered"))
    return parties


def owed() -> Parties:
    """The account is frozen: no answer came in time."""
    parties = recorded()
    parties.enter(parties.overdue())
    return parties


def breached() -> Parties:
    """A breach waits for its settlement."""
    parties = recorded()
    parties.enter(parties.answer("breach"))
    return parties


def halted(parties: Parties) -> Parties:
    """The operator has halted everything."""
    parties.enter(parties.halt())
    return parties


def disputed() -> Parties:
    """A covered account disputes its first entry."""
    parties = covered()
    parties.enter(parties.dispute())
    return parties


def asked() -> Parties:
    """A run that is to be proven first waits for its answer."""
    parties = booked()
    parties.enter(parties.record(evaluated=False))
    return parties


def not_proven() -> Parties:
    """A run that was to be proven first was not; the second run of the tick is due."""
    parties = asked()
    parties.enter(parties.overdue())
    return parties


def void() -> Parties:
    """The run of the newest tick was void."""
    parties = evaluating()
    parties.enter(parties.void())
    return parties


def liquidated() -> Parties:
    parties = breached()
    parties.enter(parties.settlement(everything(parties)))
    return parties


def everything(parties: Parties) -> list[tuple[str, int, str, str]]:
    """Return the transfers that leave nothing behind."""
    held = (("free", parties.state.private.free), ("posted", parties.state.public.posted))
    return [(asset, left, place, "liquidation") for place, assets in held for asset, left in assets.items()]


def refuses(parties: Parties, document: SignedDocument, error: type[Exception], match: str) -> None:
    """Make sure that the operator's machine refuses a document with this very class of error."""
    with pytest.raises((IllegalTransition, InsufficientFunds), match=match) as caught:
        extended(parties.chain, document, parties.at, parties.salts, LOG, parties.operator, TIME)
    assert type(caught.value) is error


def in_status(parties: Parties, status: AccountState) -> Account:
    """Return the account as if it had another status, for tests of the table."""
    public = parties.state.public.model_copy(update={"status": status})
    return parties.state.model_copy(update={"public": public})


def forged(
    parties: Parties, document: SignedDocument, kind: str, state: Account | None = None, **changes: Any
) -> SignedDocument:
    """Return an entry about any document, signed by an operator that signs whatever it likes.

    Args:
        parties: whose chain it would go on.
        document: what it is about.
        kind: what it says that happened.
        state: what it says that follows, by default the state before.
        changes: what else in it is wrong.
    """
    after, number = state or parties.state, parties.chain.number + 1
    body = {
        "log": LOG,
        "operator": parties.operator.public_key,
        "account": parties.salts.account,
        "number": str(number),
        "previous": parties.chain.head,
        "kind": kind,
        "document": salted_hash(parties.salts.of("document", number), document.canonical()),
        "public": salted_hash(parties.salts.of("public", number), after.public.canonical()),
        "private": salted_hash(parties.salts.of("private", number), after.private.canonical()),
        "tick": parties.tick_hash(parties.newest),
        "tick_sequence": str(parties.newest),
        "market": parties.tick_hash(parties.market),
        "market_sequence": str(parties.market),
        "receipted": str(parties.at.receipted),
        "entered_at": TIME,
    }
    return Entry.parse(body | changes).signed_by(parties.operator)
