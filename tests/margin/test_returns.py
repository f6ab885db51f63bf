"""What comes back of posted collateral, and whether what takes its place is worth it; both without rounding."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import CollateralSchedule, Market, ScanModel, errors
from atomic_margin.margin.collateral import check_substitution, select_return
from atomic_margin.margin.collateral.values import unrounded_values
from atomic_margin.margin.kinds import KINDS

ASSETS = ("USDC", "TBILL-2027-02", "GOVT-MMF", "BTC", "ETH")
holdings = st.dictionaries(st.sampled_from(ASSETS), st.integers(1, 10**12), max_size=5)


def lost(
    schedule: CollateralSchedule, model: ScanModel, market: Market, before: Mapping[str, int], after: Mapping[str, int]
) -> list[Fraction]:
    """By how much less it is worth, in every row of both kinds."""
    moves = model.spot_moves
    return [
        was - now
        for kind in KINDS
        for was, now in zip(
            unrounded_values(schedule, moves, market, before, kind),
            unrounded_values(schedule, moves, market, after, kind),
            strict=True,
        )
    ]


def without(posted: Mapping[str, int], taken: Mapping[str, int]) -> dict[str, int]:
    return {asset: quantity - taken.get(asset, 0) for asset, quantity in posted.items()}


@settings(max_examples=60, deadline=None)
@given(posted=holdings, amount=st.integers(1, 10**9))
def test_what_comes_back_is_worth_at_most_the_amount_and_a_unit_more_would_be_more(
    schedule: CollateralSchedule, model: ScanModel, markets: list[Market], posted: dict[str, int], amount: int
) -> None:
    taken = select_return(Decimal(amount), posted, schedule, model.spot_moves, markets[0])
    after = without(posted, taken)
    assert min(after.values(), default=0) >= 0
    assert max(lost(schedule, model, markets[0], posted, after)) <= amount
    # Nothing more comes back of any asset: one unit more, and a row falls short of the amount less its cent.
    for asset, left in after.items():
        if left:
            more = without(posted, {**taken, asset: taken.get(asset, 0) + 1})
            assert max(lost(schedule, model, markets[0], posted, more)) > amount - Fraction(1, 100)


def test_what_would_be_delivered_last_comes_back_first(
    schedule: CollateralSchedule, model: ScanModel, markets: list[Market]
) -> None:
    posted = {"USDC": 10**12, "TBILL-2027-02": 10**8, "BTC": 10**8, "ETH": 10**9}
    order = [item.id for item in sorted(schedule.assets, key=lambda item: -item.priority) if item.id in posted]
    taken = select_return(Decimal(1000), posted, schedule, model.spot_moves, markets[0])
    assert next(iter(taken)) == order[0]
    everything = select_return(Decimal(10**9), posted, schedule, model.spot_moves, markets[0])
    assert list(everything) == order
    assert dict(everything) == posted


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
def test_an_amount_is_positive(
    schedule: CollateralSchedule, model: ScanModel, markets: list[Market], amount: str
) -> None:
    with pytest.raises(errors.BadAmount):
        select_return(Decimal(amount), {"USDC": 1}, schedule, model.spot_moves, markets[0])


@settings(max_examples=100, deadline=None)
@given(posted=holdings, given_=holdings, data=st.data())
def test_a_substitution_is_allowed_where_no_row_of_either_kind_is_worth_less(
    schedule: CollateralSchedule,
    model: ScanModel,
    markets: list[Market],
    posted: dict[str, int],
    given_: dict[str, int],
    data: st.DataObject,
) -> None:
    taken = {asset: data.draw(st.integers(1, quantity)) for asset, quantity in posted.items() if asset not in given_}
    after = {asset: posted.get(asset, 0) - taken.get(asset, 0) + given_.get(asset, 0) for asset in {*posted, *given_}}
    worse = max(lost(schedule, model, markets[0], posted, after)) > 0
    arguments = (taken, given_, schedule, model.spot_moves, markets[0])
    if worse:
        with pytest.raises(errors.TransferTooSmall, match="give more"):
            check_substitution(*arguments, posted=posted)
    else:
        check_substitution(*arguments, posted=posted)


def test_a_dollar_for_a_dollar_of_what_is_posted_too_much_already_is_worth_less(
    schedule: CollateralSchedule, model: ScanModel, markets: list[Market]
) -> None:
    """Tiers look at what stays posted beside it; and initial rows shock what takes its place further."""
    one = 10**6
    posted = {"USDC": 26_000_000 * one, "TBILL-2027-02": 2_000_000_00}
    moves, market = model.spot_moves, markets[0]
    with pytest.raises(errors.TransferTooSmall):
        check_substitution(
            {"TBILL-2027-02": 1_000_000_00}, {"USDC": 1_000_000 * one}, schedule, moves, market, posted=posted
        )
    check_substitution(
        {"TBILL-2027-02": 1_000_000_00}, {"USDC": 2_000_000 * one}, schedule, moves, market, posted=posted
    )
    with pytest.raises(document_errors.NegativeHolding):
        check_substitution({"BTC": 1}, {"USDC": one}, schedule, moves, market, posted=posted)
