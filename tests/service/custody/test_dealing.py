"""Deals from the agent by the operator to custodians and back: receipts, complaints, answers, and the submission."""

from collections.abc import Callable

import pytest

from atomic_margin.service.errors import DealFailed
from atomic_margin.service.institution.store import OwnDealing
from atomic_margin.service.protocol.submissions import Submission

from .conftest import Custody

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
