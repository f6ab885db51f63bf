"""Custodians change between the real operator and the real agent: what the agent asks for, and what it follows."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.errors import AgentRefused, Refused, RemoteError
from atomic_margin.service.institution import amending, custody
from atomic_margin.service.operator.accounts import agreements
from atomic_margin.service.protocol.account.amendments import CustodyAmendment
from atomic_margin.service.protocol.account.errors import CustodyNotPinned, EntryIllegal
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.opened import check_resharing

from ..account import in_custody
from ..bodies import TRUST
from ..documents import FUND
from .conftest import Custody

pytestmark = pytest.mark.long

At = Callable[..., Custody]


def other(custody: Custody) -> CustodyPolicy:
    """The same custodians, with other times."""
    return custody.holders.policy.changed({"name": "custody of 2027", "deal_seconds": 1200})


def pin(at: Custody, *policies: CustodyPolicy) -> None:
    """Start the agent with a trust file that pins these."""
    trust = TrustFile.parse({**at.world.trust(), "custody": {FUND: [one.canonical() for one in policies]}})
    at.world.trust_file = lambda: trust  # type: ignore[method-assign]
    at.resident.restarted()


def ask(at: Custody, policy: CustodyPolicy | None) -> str:
    with at.resident.agent.signing() as (party, outbox):
        return amending.ask_custody(party, outbox, policy, 100)


def policy_of(at: Custody) -> str | None:
    """Return the policy that the agent believes to be under."""
    with at.resident.agent.signing() as (party, _):
        state = party.history.state
    assert state is not None
    found = state.public.custody
    return None if found is None else found.policy


def test_an_agent_asks_for_what_its_trust_file_pins_and_follows_it(custody_at: At) -> None:
    at = custody_at("dealt")
    old, new = at.holders.policy, other(at)
    with pytest.raises(AgentRefused, match="does not pin the custody policy"):
        ask(at, new)
    with pytest.raises(AgentRefused, match="already"):
        ask(at, old)
    pin(at, old, new)
    asked = ask(at, new)
    shown = at.world.client.get(f"/v1/institutions/{FUND}/amendment", headers=at.world.admin).json()
    assert (shown["amendment"], shown["problem"], shown["document"]["type"]) == (asked, None, "custody-amendment")
    assert policy_of(at) == old.hash()
    agreements.agree(at.world.operator, FUND, asked)
    assert at.resident.agent.answer_due() == []
    assert policy_of(at) == new.hash()
    book = at.resident.state.public.book
    assert book is not None
    assert book.shared is not None
    assert book.shared.policy == old.hash()


def test_an_agent_does_without_custodians(custody_at: At) -> None:
    at = custody_at("dealt")
    agreements.agree(at.world.operator, FUND, ask(at, None))
    assert at.resident.agent.answer_due() == []
    assert policy_of(at) is None
    with pytest.raises(AgentRefused, match="already"):
        ask(at, None)


def test_the_operator_takes_no_question_that_could_not_be_entered(custody_at: At) -> None:
    at = custody_at("dealt")
    new = other(at)
    pin(at, at.holders.policy, new)
    at.world.tick(1)
    with pytest.raises(RemoteError, match="due"):
        ask(at, new)


def trust(**pins: Any) -> TrustFile:
    return TrustFile.parse({**TRUST, **({"custody": pins} if pins else {})})


def test_an_agent_follows_no_policy_that_is_not_pinned() -> None:
    parties = in_custody.booked()
    document = in_custody.amendment(parties, in_custody.successors())
    custody.check(document, trust(fund=[in_custody.successors().canonical()]), "fund")
    for pins in ({}, {"fund": [in_custody.policy().canonical()]}, {"harbour": [in_custody.successors().canonical()]}):
        with pytest.raises(CustodyNotPinned):
            custody.check(document, trust(**pins), "fund")
    ended = CustodyAmendment.parse({k: v for k, v in document.body.items() if k != "custody"})
    custody.check(ended.signed_by(parties.institution), trust(), "fund")


def test_an_agent_and_other_readers_follow_no_re_sharing_whose_receipts_do_not_hold() -> None:
    parties = in_custody.amended()
    good = in_custody.resharing(parties)
    pins = trust(fund=[in_custody.successors().canonical()])
    custody.check(good, pins, "fund")
    check_resharing(Resharing.parse(good.body), pins)
    with pytest.raises(CustodyNotPinned):
        custody.check(good, trust(fund=[in_custody.policy().canonical()]), "fund")
    forged = [dict(one) | {"signature": "00" * 64} for one in good.body["receipts"]]
    bad = Resharing.parse({**good.body, "receipts": forged})
    with pytest.raises(EntryIllegal, match="not re-shared so"):
        custody.check(bad.signed_by(parties.operator), pins, "fund")
    with pytest.raises(Refused, match="not re-shared so"):
        check_resharing(bad, pins)
    # Who pins no custodians of the institution looks at none.
    check_resharing(bad, trust())
