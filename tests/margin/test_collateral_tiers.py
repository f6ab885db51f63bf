"""Tiers and eligibility of collateral."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import (
    CollateralSchedule,
    Market,
    ScanModel,
    check_accepted,
    collateral_values,
    errors,
    select_transfer,
)

Example = Callable[[str], dict[str, Any]]
LATER = "2026-11-21T00:00:00Z"


def with_asset(example: Example, index: int, **changes: object) -> dict[str, Any]:
    given = example("collateral-schedule")
    given["assets"][index] = {**given["assets"][index], **changes}
    return given


def test_tiers_are_marginal_and_apply_before_the_haircut(
    schedule: CollateralSchedule, model: ScanModel, markets: tuple[Market, ...]
) -> None:
    """300 bitcoin at 96,420.5 are 28,926,150: 5 m in full, 15 m at 80 %, the rest at 50 %."""
    values = collateral_values(schedule, model.spot_moves, markets[0], {"BTC": 300 * 10**8})
    row = model.labels.index("spot 0% vol up")
    assert values.maintenance[row] == pytest.approx(0.9 * (5e6 + 0.8 * 15e6 + 0.5 * 8_926_150))
    # The scenario moves the value that the tiers look at.
    row = model.labels.index("crash -20% vol up")
    assert values.maintenance[row] == pytest.approx(0.9 * (5e6 + 0.8 * 15e6 + 0.5 * (0.8 * 28_926_150 - 20e6)))
    # Beyond the last bound nothing more counts.
    more = collateral_values(schedule, model.spot_moves, markets[0], {"BTC": 3000 * 10**8})
    assert (
        more.maintenance[row]
        == collateral_values(schedule, model.spot_moves, markets[0], {"BTC": 6000 * 10**8}).maintenance[row]
    )


BANDS = [("0", "10", "100"), ("10", "20", "90"), ("20", None, "90")]


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ((0, 0, "1"), errors.TierGap, "assets[3].tiers[0].above"),
        ((1, 0, "11"), errors.TierGap, "assets[3].tiers[1].above"),
        ((1, 0, "9"), errors.TierGap, "assets[3].tiers[1].above"),
        ((1, 1, "10"), errors.TierGap, "assets[3].tiers[1].up_to"),
        ((1, 1, None), errors.TierGap, "assets[3].tiers[2].above"),
        ((1, 2, "89"), errors.TierRising, "assets[3].tiers[2].percent"),
        ((0, 2, "101"), document_errors.OutOfRange, "assets[3].tiers[0].percent"),
        ((0, 2, "-1"), document_errors.OutOfRange, "assets[3].tiers[0].percent"),
        ((0, 2, "99.5"), document_errors.NotADecimal, "assets[3].tiers[0].percent"),
        ((0, 1, str(2**64)), document_errors.OutOfRange, "assets[3].tiers[0].up_to"),
    ],
    ids=str,
)
def test_tiers_that_are_no_table_are_refused(
    change: tuple[int, int, str | None], error: type[document_errors.DocumentError], field: str, example: Example
) -> None:
    bands = [list(band) for band in BANDS]
    bands[change[0]][change[1]] = change[2]  # type: ignore[call-overload]
    names = ("above", "up_to", "percent")
    tiers = [{k: v for k, v in zip(names, band, strict=True) if v is not None} for band in bands]
    with pytest.raises(document_errors.DocumentError) as caught:
        CollateralSchedule.parse(with_asset(example, 3, tiers=tiers))
    assert (type(caught.value), caught.value.field) == (error, field)


@pytest.mark.parametrize("tiers", [[], [{"above": str(i), "up_to": str(i + 1), "percent": "5"} for i in range(13)]])
def test_a_table_has_one_to_twelve_tiers(tiers: list[Any], example: Example) -> None:
    with pytest.raises(document_errors.MalformedDocument) as caught:
        CollateralSchedule.parse(with_asset(example, 3, tiers=tiers))
    assert caught.value.field == "assets[3].tiers"


def test_an_asset_counts_while_it_is_eligible(model: ScanModel, markets: tuple[Market, ...], example: Example) -> None:
    held, at = {"BTC": 10**8, "USDC": 10**9}, "2026-11-20T08:00:00Z"
    usdc = 0.98 * 0.9999 * 1000
    for eligibility, counts in (
        ({"status": "accepted"}, True),
        ({"status": "closed", "reason": "wound down"}, True),
        ({"status": "excluded", "reason": "custodian in default"}, False),
        ({"status": "accepted", "counts_until": at}, True),
        ({"status": "accepted", "counts_until": "2026-11-20T07:59:59Z"}, False),
        ({"status": "accepted", "counts_from": at}, True),
        ({"status": "accepted", "counts_from": "2026-11-20T08:00:01Z"}, False),
    ):
        schedule = CollateralSchedule.parse(with_asset(example, 3, eligibility=eligibility))
        values = collateral_values(schedule, model.spot_moves, markets[0], held)
        assert values.maintenance[0] == pytest.approx(usdc + counts * 0.9 * 96420.5)
        if counts:
            assert select_transfer(Decimal(1000), {"BTC": 10**9}, schedule, model.spot_moves, markets[0], posted={})[
                "BTC"
            ]
        else:
            with pytest.raises(errors.InsufficientFreeCollateral):
                select_transfer(Decimal(1000), {"BTC": 10**9}, schedule, model.spot_moves, markets[0], posted={})


def test_what_does_not_count_needs_no_price(model: ScanModel, example: Example) -> None:
    """A bill that has matured is no longer quoted, and must not stop the ticks."""
    market = example("market-1")
    del market["collateral"]["TBILL-2027-02"]
    market["as_of"] = "2027-02-16T00:00:01Z"
    values = collateral_values(
        CollateralSchedule.parse(example("collateral-schedule")),
        model.spot_moves,
        Market.parse(market),
        {"TBILL-2027-02": 10**9},
    )
    assert not values.maintenance.any()


def test_only_accepted_assets_are_taken(example: Example) -> None:
    for status in ("closed", "excluded"):
        schedule = CollateralSchedule.parse(with_asset(example, 3, eligibility={"status": status, "reason": "reason"}))
        with pytest.raises(errors.IneligibleAsset, match=status) as caught:
            check_accepted(schedule, "BTC")
        assert caught.value.field == "BTC"
        check_accepted(schedule, "ETH")
    with pytest.raises(errors.UnknownAsset):
        check_accepted(schedule, "DOGE")


@pytest.mark.parametrize(
    ("eligibility", "field"),
    [
        ({"status": "closed"}, "reason"),
        ({"status": "accepted", "reason": "why not"}, "reason"),
        ({"status": "accepted", "counts_from": LATER, "counts_until": "2026-11-20T00:00:00Z"}, "counts_until"),
        ({"status": "maybe"}, "status"),
        ({}, "status"),
    ],
    ids=str,
)
def test_eligibility_is_complete(eligibility: dict[str, Any], field: str, example: Example) -> None:
    with pytest.raises(document_errors.DocumentError) as caught:
        CollateralSchedule.parse(with_asset(example, 3, eligibility=eligibility))
    assert caught.value.field == f"assets[3].eligibility.{field}"


def test_a_schedule_values_nothing_from_before_its_time(
    model: ScanModel, markets: tuple[Market, ...], example: Example
) -> None:
    given = {**example("collateral-schedule"), "effective_from": "2026-11-20T08:00:01Z"}
    with pytest.raises(errors.ScheduleNotInForce) as caught:
        collateral_values(CollateralSchedule.parse(given), model.spot_moves, markets[0], {})
    assert caught.value.field == "effective_from"
    assert not collateral_values(CollateralSchedule.parse(given), model.spot_moves, markets[1], {}).maintenance.any()
