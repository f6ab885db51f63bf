"""Deals from the agent by the operator to custodians and back: receipts, complaints, answers, and the submission."""

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import DealFailed, RemoteError
from atomic_margin.service.institution import dealing
from atomic_margin.service.institution.share_boxes import seal_shares
from atomic_margin.service.institution.store import OwnDealing
from atomic_margin.service.protocol.share_boxes import BoxAddress
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.sharing.messages import Shares

from ..documents import example
from ..rounds import flat, lose, mend
from .conftest import Custody
from .holders import refused

pytestmark = pytest.mark.long

BOOK = Portfolio.parse(example("portfolio"))
At = Callable[..., Custody]


def own(custody: Custody) -> list[OwnDealing]:
    return custody.resident.rows(OwnDealing)


def test_a_book_is_dealt_receipted_and_submitted_by_one_call(custody_at: At) -> None:
    custody = custody_at("enrolled", proofs=True)
    assert custody.submit() == 1
    public = custody.resident.state.public
    assert public.book is not None
    assert public.book.shared is not None
    [deal] = own(custody)
    assert (public.book.shared.deal, public.book.shared.policy) == (deal.deal, custody.holders.policy.hash())
    submission = Submission.parse(custody.resident.submissions[-1].document["body"])
    assert submission.sharing is not None
    assert len(submission.sharing.receipts) == 4
    assert custody.resident.agent.standing().deal == "deal for submission 1: 4 custodians have receipted their shares"


def test_a_custodian_that_is_away_is_waited_for_and_named(custody_at: At) -> None:
    custody, looks = custody_at("enrolled"), [0]
    custody.holders[9].away = True

    def waited() -> None:
        looks[0] += 1
        custody.holders.look()
        if looks[0] == 3:
            said = custody.resident.agent.standing().deal
            assert said == "deal for submission 1: 3 of 4 receipts; missing: custodian-9"
            custody.holders[9].away = False

    custody.waited = waited
    custody.submit()
    assert looks[0] >= 4


def test_the_time_of_a_deal_ends_it_and_the_next_one_is_another(custody_at: At) -> None:
    custody = custody_at("enrolled")
    custody.holders[5].away, shift = True, [0]
    agent = custody.resident.restarted(clock=lambda: datetime.now(timezone.utc) + timedelta(seconds=shift[0]))

    def waited() -> None:
        custody.holders.look()
        shift[0] = 601

    custody.waited = waited
    with pytest.raises(DealFailed, match=r"over with 3 of 4 receipts; missing: custodian-5"):
        agent.submit(BOOK)
    [first] = own(custody)
    assert (first.shares, first.over is not None) == ([], True)
    custody.holders[5].away, shift[0], custody.waited = False, 0, custody.holders.look
    agent.submit(BOOK)
    deals = own(custody)
    assert len(deals) == 2
    assert deals[0].deal != deals[1].deal
    assert [one.shares != [] for one in deals] == [False, True]


def test_a_dealing_whose_reply_is_lost_is_sent_again_as_the_same_bytes(custody_at: At) -> None:
    custody = custody_at("enrolled")
    lose(custody.resident, "/dealings", "reply")
    with pytest.raises(RemoteError):
        custody.submit()
    mend(custody.resident)
    custody.resident.restarted()
    custody.submit()
    first, second = custody.resident.line.sent("/dealings")
    assert first == second
    assert len(own(custody)) == 1


def test_the_same_commitments_keep_their_deal(custody_at: At) -> None:
    custody = custody_at("dealt")
    before = custody.resident.state.public.book
    assert before is not None
    custody.resident.agent.rotate_keys()
    after = custody.resident.state.public.book
    assert after is not None
    assert after.evaluation_keys != before.evaluation_keys
    assert after.shared == before.shared
    assert custody.resident.line.sent("/dealings") == []


def test_another_book_is_dealt_anew(custody_at: At) -> None:
    custody = custody_at("dealt")
    before = custody.resident.state.public.book
    custody.resident.agent.submit(flat())
    public = custody.resident.state.public
    after = public.waiting or public.book
    assert before is not None
    assert after is not None
    assert after.shared is not None
    assert after.shared != before.shared


# Wrong shares, and custodians that lie


def test_a_wrong_share_is_complained_of_and_answered_by_the_right_one(
    custody_at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sealed for one custodian is not its share; what the institution seals anew is."""
    custody, sealed = custody_at("enrolled"), []

    def spoilt(shares: Shares, address: BoxAddress, key: X25519PublicKey) -> bytes:
        again = any(one.custodian == shares.custodian for one in sealed)
        sealed.append(shares)
        wrong = (shares.values[0], (shares.values[1] + 1) % ORDER, *shares.values[2:])
        spoil = shares.custodian == 5 and not again
        return seal_shares(dataclasses.replace(shares, values=wrong) if spoil else shares, address, key)

    monkeypatch.setattr(dealing, "seal_shares", spoilt)
    custody.submit()
    [deal] = own(custody)
    shown = custody.shown(deal.deal)
    assert [
        (one["body"]["point"], one["body"]["reason"], one["body"]["entry_index"]) for one in shown["complaints"]
    ] == [("5", "wrong", "1")]
    assert [one["body"]["point"] for one in shown["answers"]] == ["5"]
    assert len(shown["receipts"]) == 4
    assert custody.holders[5].shares[deal.deal][1] == next(one for one in sealed if one.custodian == 5)


def test_a_box_that_does_not_open_is_complained_of(custody_at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    custody = custody_at("enrolled")
    other, sealed = custody.holders[1].key.public_key(), set[int]()

    def spoilt(shares: Shares, address: BoxAddress, key: X25519PublicKey) -> bytes:
        first = shares.custodian == 2 and 2 not in sealed
        sealed.add(shares.custodian)
        return seal_shares(shares, address, other if first else key)

    monkeypatch.setattr(dealing, "seal_shares", spoilt)
    custody.submit()
    assert [one["body"]["reason"] for one in custody.shown(own(custody)[0].deal)["complaints"]] == ["sealed"]


def test_more_complaints_than_may_be_away_end_the_deal_and_nothing_is_answered(custody_at: At) -> None:
    custody = custody_at("enrolled")
    custody.holders[2].lies = custody.holders[9].lies = custody.holders[5].away = True
    with pytest.raises(DealFailed, match="custodian-2, custodian-9 complain"):
        custody.submit()
    assert custody.resident.line.sent("/shares") == []
    shown = custody.shown(own(custody)[0].deal)
    assert shown["answers"] == []
    assert "more custodians complain" in refused(custody.holders[5], shown, "receipt")
