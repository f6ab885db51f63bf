"""Shares passed on: to other custodians, and to the same ones anew. What the institution committed to is the anchor."""

import dataclasses
import itertools
from typing import Any

import pytest

from atomic_margin.zk import load_group
from atomic_margin.zk.errors import (
    OtherDeal,
    SharesInvalid,
    SharingEncodingError,
    StatementError,
    TooFewShares,
    WitnessError,
)
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.prove.openings import commit_all
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.interpolation import lagrange, weighted
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.pass_on import add_up, pass_on
from atomic_margin.zk.sharing.reconstruct import reconstruct
from atomic_margin.zk.sharing.resharing import Resharing

from .shared import CONTEXT, Book, book, custodians, make, replaced

NEXT = {**CONTEXT, "epoch": "2"}


@dataclasses.dataclass(frozen=True)
class PassedOn:
    """A re-sharing with all that was said in it: the dealers' deals and what each new custodian got, by dealer."""

    resharing: Resharing
    deals: dict[int, Deal]
    received: dict[int, dict[int, Shares]]

    def added(self, custodian: int, group: Group) -> tuple[Deal, Shares]:
        return add_up(self.resharing, self.deals, self.received[custodian], custodian, group)


def passed_on(old: Book, dealers: tuple[int, ...], threshold: int, points: tuple[int, ...], group: Group) -> PassedOn:
    resharing = Resharing(old.deal, dealers, threshold, custodians(*points), NEXT)
    deals: dict[int, Deal] = {}
    received: dict[int, dict[int, Shares]] = {point: {} for point in points}
    for shares in old.shares:
        if shares.custodian in dealers:
            deals[shares.custodian], dealt = pass_on(resharing, shares, group)
            for one in dealt:
                received[one.custodian][shares.custodian] = one
    return PassedOn(resharing, deals, received)


@pytest.fixture(scope="module")
def moved(group: Group) -> PassedOn:
    """From three of five to two of four, of whom one was there before."""
    return passed_on(book(), (1, 5, 300), 2, (4, 5, 6, 7), group)


def test_a_book_moves_to_other_custodians(moved: PassedOn, group: Group) -> None:
    results = [moved.added(point, group) for point in (4, 5, 6, 7)]
    (deal,) = {deal.to_bytes(): deal for deal, _ in results}.values()
    assert deal.statement == moved.resharing.statement
    assert deal.statement.commitments == book().statement.commitments
    assert deal.statement.context == {
        **NEXT, "resharing of deal": book().deal.hash.hex(), "resharing by points": "1 5 300"
    }  # fmt: skip
    for _, shares in results:
        check_shares(deal, shares, shares.custodian, group)
    for pair in itertools.combinations([shares for _, shares in results], 2):
        assert reconstruct(deal, pair, group) == book().witness


def test_the_reference_backend_passes_on(group: Group) -> None:
    reference = load_group("reference")
    old = make(2, (1, 2), (9,))
    passed = passed_on(old, (1, 2), 2, (3, 4), reference)
    deal, first = passed.added(3, reference)
    _, second = passed.added(4, group)
    assert reconstruct(deal, (first, second), reference) == old.witness


def test_it_can_be_passed_on_again_with_another_threshold(moved: PassedOn, group: Group) -> None:
    deal, _ = moved.added(4, group)
    shares = tuple(moved.added(point, group)[1] for point in (4, 5, 6, 7))
    once_more = passed_on(Book(deal.statement, book().witness, deal, shares), (6, 7), 4, (1, 2, 3, 4, 5), group)
    results = [once_more.added(point, group) for point in (1, 2, 3, 4, 5)]
    assert reconstruct(results[0][0], [one for _, one in results[1:]], group) == book().witness
    with pytest.raises(TooFewShares):
        reconstruct(results[0][0], [one for _, one in results[:3]], group)


def test_after_a_refresh_old_shares_are_worth_nothing(group: Group) -> None:
    old = make(2, (1, 2, 3, 4))
    passed = passed_on(old, (1, 2), 2, (1, 2, 3, 4), group)
    deal, fresh = passed.added(1, group)
    stolen = old.shares[3]
    with pytest.raises(OtherDeal):
        reconstruct(deal, (fresh, stolen), group)
    with pytest.raises(SharesInvalid) as caught:
        reconstruct(deal, (fresh, dataclasses.replace(stolen, deal=deal.hash)), group)
    assert caught.value.custodian == 4
    # Whoever looks past the checks gets noise.
    mixed = weighted(lagrange((1, 4)), [fresh.values, stolen.values])
    assert all(found > 2**64 for found in mixed)
    assert weighted(lagrange((1, 4)), [fresh.values, passed.added(4, group)[1].values]) == old.witness.values


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dealers": (1, 5)}, "dealers are 3 of the points"),
        ({"dealers": (1, 2, 5, 9)}, "dealers are 3 of the points"),
        ({"dealers": (5, 1, 300)}, "in this order"),
        ({"dealers": (1, 1, 5)}, "dealers are 3 of the points"),
        ({"dealers": (1, 5, 7)}, "dealers are 3 of the points"),
        ({"threshold": 5}, "threshold is 5, allowed is 2 to 4"),
        ({"custodians": custodians(1)}, "got 1"),
        ({"context": {}}, "context names"),
        ({"context": {"resharing of deal": "00"}}, "says what a re-sharing says itself"),
        ({"context": {**NEXT, "resharing from point": "1"}}, "says what a re-sharing says itself"),
    ],
)
def test_limits_of_a_resharing(moved: PassedOn, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(StatementError, match=said):
        dataclasses.replace(moved.resharing, **changed)


def test_only_a_dealer_deals_and_only_its_own_shares(moved: PassedOn, group: Group) -> None:
    with pytest.raises(StatementError, match="point 2 is none of the dealers"):
        pass_on(moved.resharing, book().shares[1], group)
    other = make(3, (1, 2, 5, 9, 300))
    with pytest.raises(OtherDeal):
        pass_on(moved.resharing, other.shares[0], group)
    with pytest.raises(WitnessError, match="commitment 3 does not open"):
        pass_on(moved.resharing, replaced(book().shares[0], 3, value=1), group)


def test_a_dealer_cannot_deal_other_shares_than_its_own(moved: PassedOn, group: Group) -> None:
    """Its deal is well made, but not anchored in the old deal: the book would change under the institution's name."""
    honest = moved.deals[5].statement
    values = tuple((value + 1) % ORDER for value in book().shares[2].values)
    false = SharingWitness(values, book().shares[2].blindings)
    statement = dataclasses.replace(honest, commitments=commit_all(group, false.values, false.blindings))
    deal, dealt = deal_shares(statement, false, group)
    received = {**moved.received[4], 5: dealt[0]}
    check_shares(deal, dealt[0], 4, group)
    with pytest.raises(OtherDeal, match="dealer at point 5 is not about its shares in this re-sharing"):
        add_up(moved.resharing, {**moved.deals, 5: deal}, received, 4, group)


def test_wrong_shares_of_a_dealer_are_named(moved: PassedOn, group: Group) -> None:
    received = {**moved.received[6], 300: replaced(moved.received[6][300], 2, blinding=0)}
    with pytest.raises(
        SharesInvalid, match="of the custodian at point 6, dealt by the custodian at point 300,"
    ) as caught:
        add_up(moved.resharing, moved.deals, received, 6, group)
    assert (caught.value.custodian, caught.value.entry, caught.value.dealer) == (6, 2, 300)


def test_what_is_missing_is_named(moved: PassedOn, group: Group) -> None:
    deals = {dealer: deal for dealer, deal in moved.deals.items() if dealer != 5}
    with pytest.raises(TooFewShares, match="no deal of the dealer at point 5"):
        add_up(moved.resharing, deals, moved.received[4], 4, group)
    received = {dealer: shares for dealer, shares in moved.received[4].items() if dealer != 1}
    with pytest.raises(TooFewShares, match="no shares of the dealer at point 1"):
        add_up(moved.resharing, moved.deals, received, 4, group)


def test_dealers_and_resharings_are_not_confused(moved: PassedOn, group: Group) -> None:
    swapped = {**moved.deals, 1: moved.deals[5], 5: moved.deals[1]}
    with pytest.raises(OtherDeal, match="dealer at point 1"):
        moved.resharing.combined(swapped, group)
    # Another time, by other dealers, or to others.
    for changed in (
        {"context": {**NEXT, "epoch": "3"}},
        {"dealers": (1, 2, 300)},
        {"threshold": 3},
        {"custodians": custodians(4, 5, 6, 8)},
    ):
        other = dataclasses.replace(moved.resharing, **changed)  # type: ignore[arg-type]
        deals = {dealer: moved.deals.get(dealer, moved.deals[5]) for dealer in other.dealers}
        with pytest.raises(OtherDeal, match="dealer at point 1"):
            other.combined(deals, group)
    with pytest.raises(OtherDeal):
        add_up(moved.resharing, moved.deals, {**moved.received[4], 5: moved.received[4][1]}, 4, group)
    with pytest.raises(OtherDeal):
        add_up(moved.resharing, moved.deals, moved.received[5], 4, group)


def test_a_deal_that_does_not_decode_is_refused(moved: PassedOn, group: Group) -> None:
    ((_, *others),) = moved.deals[5].coefficients
    identity = group.encode_point(group.identity())
    broken = Deal(moved.deals[5].statement, ((identity, *others),))
    with pytest.raises(SharingEncodingError, match="the identity"):
        moved.resharing.combined({**moved.deals, 5: broken}, group)
