"""Terms of a collateral agreement: the formulas against each other, against integer rows, and the desk's case."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentError
from atomic_margin.documents.strict import instant
from atomic_margin.margin.analysis import Standing, standing
from atomic_margin.margin.collateral import Agreed, CollateralAgreement, CollateralSchedule, CollateralValues
from atomic_margin.margin.collateral.agreement import (
    CENT,
    call_amount,
    call_step,
    csa,
    is_called,
    is_covered,
    return_amount,
    shift,
    shifted,
)
from atomic_margin.margin.errors import IneligibleAsset, UnknownAsset
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.portfolio import encode
from atomic_margin.margin.rows.rounding import compile_run
from atomic_margin.margin.rows.top_up import TopUp, step_units

from .test_dated_collateral import SCHEDULE as DATED
from .test_dated_collateral import asset
from .test_desk import case

CENTS = st.integers(0, 10**9).map(lambda count: count * CENT)
SIGNED = st.integers(-(10**9), 10**9).map(lambda count: count * CENT)
AGREED = st.builds(
    lambda *figures: Agreed.model_construct(**dict(zip(Agreed.model_fields, figures, strict=True))),
    CENTS, CENTS, st.one_of(st.just(Decimal(0)), CENTS), CENTS,
)  # fmt: skip


DATED_TO_THE_17TH = {
    **DATED,
    "assets": [
        {**one, "dated": {**one["dated"], "matures": "2027-02-17T00:00:00Z"}} if one["id"] == "BILL" else one
        for one in DATED["assets"]
    ],
}


def document(**changes: Any) -> dict[str, Any]:
    return {
        "format": "atomic-margin/collateral-agreement/1",
        "name": "CSA",
        "threshold": "0",
        "minimum_transfer_amount": "100000",
        "minimum_return_amount": "100000",
        "independent_amount": "0",
        "rounding": "10000",
        "notification_time": "13:00",
        "settlement_time": "17:00",
        "settlement_days": "0",
        **changes,
    }


def agreement(**changes: Any) -> CollateralAgreement:
    return CollateralAgreement.parse(document(**changes))


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("threshold", "0.001", "whole cents"),
        ("threshold", "-1", "at least 0"),
        ("threshold", "1000000000001", "at most 1000000000000"),
        ("minimum_transfer_amount", 5, "decimal string"),
        ("rounding", "1e3", "plain decimal"),
        ("notification_time", "24:00", "time of day"),
        ("notification_time", "9:00", "time of day"),
        ("settlement_time", "17:60", "time of day"),
        ("settlement_days", "11", "0 to 10"),
        ("eligible", ["USDC", "USDC"], "already at"),
        ("eligible", [f"A{number}" for number in range(257)], "at most 256"),
        ("more", "1", "no such field"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, match: str) -> None:
    with pytest.raises(DocumentError, match=match) as caught:
        agreement(**{field: value})
    assert caught.value.field.startswith(field)


def test_what_is_absent_is_not_in_the_canonical_form() -> None:
    assert "eligible" not in agreement().canonical()
    assert agreement().hash() != agreement(eligible=[]).hash()
    assert agreement().assets is agreement(eligible=[]).assets is None
    assert agreement(eligible=["B", "A"]).assets == ("A", "B")


def test_eligible_assets_are_of_the_schedule() -> None:
    schedule = case("14-minimum-transfer-amount", {}, *DESK["short_by_50k"]).published.schedule
    agreement(eligible=["USDC"]).check_schedule(schedule)
    with pytest.raises(UnknownAsset, match=r"eligible\[1\]"):
        agreement(eligible=["USDC", "DOGE"]).check_schedule(schedule)


def test_who_takes_a_bill_takes_the_cash_that_it_becomes() -> None:
    schedule = CollateralSchedule.parse({**DATED, "assets": [*DATED["assets"], asset("MMF", 9, "0.03", 2)]})
    for good in (["USDC", "BILL"], ["REPO", "USDC", "BILL"], ["MMF"], [], None):
        agreement(**({} if good is None else {"eligible": good})).check_schedule(schedule)
    for wrong, index in ((["BILL"], 0), (["MMF", "REPO"], 1)):
        with pytest.raises(IneligibleAsset, match="matures into USDC; add USDC, or take") as caught:
            agreement(eligible=wrong).check_schedule(schedule)
        assert caught.value.field == f"eligible[{index}]"


@pytest.mark.parametrize(
    ("notified", "days", "good"),
    [
        ("16T16:00", 0, True),
        ("16T16:01", 0, False),
        ("15T16:00", 1, True),
        ("15T16:01", 1, False),
        ("15T09:00", 0, True),
    ],
)
def test_what_ends_before_a_call_is_settled_is_not_delivered(notified: str, days: int, good: bool) -> None:
    """A bill that ends when the 17th begins, with 23:59 as the time of settlement; a day later it is cash."""
    terms = {"notification_time": "16:00", "settlement_time": "23:59", "settlement_days": str(days)}
    schedule, held = CollateralSchedule.parse(DATED_TO_THE_17TH), {"USDC": 1, "BILL": 2}
    at = instant(f"2027-02-{notified}:00Z")
    whole = agreement(**terms).deliverable(schedule, at, held)
    assert whole == (held if good else {"USDC": 1})
    assert agreement(**terms, eligible=["USDC"]).deliverable(schedule, at, held) == {"USDC": 1}


@given(AGREED, st.lists(SIGNED, min_size=1, max_size=4))
def test_covered_is_the_opposite_of_called(agreed: Agreed, rows: list[Decimal]) -> None:
    """In a row with surplus V - R the formulas of both say the same, whatever V is."""
    for value in (Decimal(0), Decimal(10**8)):
        called = [
            is_called(csa(value - row, agreed), value, agreed)
            # Without collateral CSA is at least 0 and so is V: nothing is called where the row has a surplus.
            for row in rows
        ]
        assert is_covered(rows, agreed) is not any(called)


@given(AGREED, st.lists(SIGNED, min_size=1, max_size=4))
def test_shifted_rows_say_what_the_formula_says(agreed: Agreed, rows: list[Decimal]) -> None:
    exact = [Fraction(row) + shift(agreed, "maintenance", "run") for row in rows]
    assert (min(exact) >= 0) is is_covered(rows, agreed)


@pytest.mark.parametrize(
    ("figures", "row", "covered"),
    [
        ({}, "-99999.99", True),
        ({}, "-100000", False),
        ({"minimum_transfer_amount": "0"}, "0", True),
        ({"minimum_transfer_amount": "0"}, "-0.01", False),
        ({"minimum_transfer_amount": "0.01"}, "0", True),
        ({"minimum_transfer_amount": "0.01"}, "-0.01", False),
        ({"threshold": "5", "independent_amount": "7"}, "-99997.99", True),
        ({"threshold": "5", "independent_amount": "7"}, "-99998", False),
    ],
)
def test_a_row_at_the_boundary(figures: dict[str, str], row: str, covered: bool) -> None:
    agreed = agreement(**figures).agreed
    assert is_covered([Decimal(row)], agreed) is covered
    assert (Fraction(row) + shift(agreed, "maintenance", "run") >= 0) is covered
    # Neither the amount nor what stays after a release knows the minimum transfer amount.
    credit = Fraction(agreed.threshold - agreed.independent_amount)
    assert {shift(agreed, "initial", "run"), *(shift(agreed, kind, "release") for kind in KINDS)} == {credit}


@given(AGREED, st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=4))
def test_values_are_shifted_down_to_the_nearest_number(agreed: Agreed, values: list[float]) -> None:
    given_values = CollateralValues(np.array(values), np.array(values))
    for purpose in ("run", "release"):
        found = shifted(given_values, agreed, purpose)  # type: ignore[arg-type]  # a name of the loop
        for kind in ("maintenance", "initial"):
            added = shift(agreed, kind, purpose)  # type: ignore[arg-type]  # a name of the loop
            for before, after in zip(values, found.of(kind).tolist(), strict=True):  # type: ignore[arg-type]
                assert Fraction(after) <= Fraction(before) + added
                assert Fraction(float(np.nextafter(after, np.inf))) > Fraction(before) + added or not added


def test_nothing_is_shifted_without_an_agreement_or_where_no_row_is_margin() -> None:
    values = CollateralValues(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert shifted(values, None, "run") is values
    found = shifted(values, agreement(threshold="10").agreed, "run", [True, False])
    assert found.maintenance.tolist() == [pytest.approx(100_010.99), 2.0]
    assert found.initial.tolist() == [13.0, 4.0]


@given(AGREED, CENTS, CENTS, CENTS)
def test_a_return_never_begins_a_call(agreed: Agreed, requirement: Decimal, value: Decimal, minimum: Decimal) -> None:
    """What comes back leaves initial margin whole, so that maintenance margin, which is less, is not called."""
    wanted = csa(requirement, agreed)
    back = return_amount(wanted, value, minimum, agreed.rounding)
    assert value - back >= wanted or not back
    assert not is_called(wanted, value - back, agreed) or is_called(wanted, value, agreed)
    assert not back or back >= minimum - max(agreed.rounding, CENT)


@given(AGREED, CENTS, CENTS)
def test_a_call_reaches_initial_margin_and_leaves_nothing_to_return(
    agreed: Agreed, requirement: Decimal, value: Decimal
) -> None:
    wanted = csa(requirement, agreed)
    called = call_amount(wanted, value, agreed.rounding)
    assert value + called >= wanted or value >= wanted
    if called:
        assert value + called - wanted < (agreed.rounding or CENT)
        assert return_amount(wanted, value + called, Decimal(0), agreed.rounding) == 0


def test_a_step_is_never_coarser_than_can_be_proven() -> None:
    huge = agreement(rounding="1000000000000").agreed
    assert call_step(huge, Decimal(100), 51_200) == 51_200
    assert TopUp.of(1, -2, call_step(huge, Decimal(100), 51_200), 51_200).units == 51_200 * 4
    # A finer rounding than G/256 does not make the step finer.
    assert step_units(-2, call_step(agreement(rounding="0").agreed, Decimal(100), 51_200), 51_200) == 800


# --- the desk's case

DESK = {
    name: (f"portfolio-{name}", f"posted-{name}", model)
    for name, model in (
        ("exactly_covered_MTA_100k", "model-mta100000"),
        ("short_by_1_USD_MTA_100k", "model-mta100000"),
        ("short_by_50k", "model-mta100000"),
        ("exactly_covered_MTA_0", "model-mta0"),
        ("short_by_1_USD_MTA_0_G_41m", "model-mta0"),
    )
}


def stands(name: str, **terms: Any) -> Standing:
    account = case("14-minimum-transfer-amount", {}, *DESK[name])
    values = account.model.collateral(account.published.schedule, account.published.market, account.posted)
    return standing(account.reference().excess, float(values.initial.min()), agreement(**terms))


@pytest.mark.parametrize("name", DESK)
def test_the_desk_is_called_for_nothing_below_the_minimum_transfer(name: str) -> None:
    found = stands(name)
    assert (found.is_covered, found.call, found.returned) == (True, 0, 0)


def test_the_desk_is_called_for_what_reaches_it() -> None:
    exact = stands("short_by_50k", minimum_transfer_amount="50000", rounding="0")
    assert (exact.is_covered, exact.deficit) == (False, 50_000)
    assert stands("short_by_50k", minimum_transfer_amount="50000.01").is_covered
    # The amount is the whole way back to initial margin, rounded up, and nothing is subtracted.
    # 10 BTC: 1.3 times 204,100 against 154,100 posted.
    assert exact.call == 111_230
    assert stands("short_by_50k", minimum_transfer_amount="50000", rounding="10000").call == 120_000
    assert stands("short_by_1_USD_MTA_0_G_41m", minimum_transfer_amount="0", rounding="0").call == 6124
    assert stands("exactly_covered_MTA_0", minimum_transfer_amount="0").is_covered
    assert not stands("exactly_covered_MTA_0", minimum_transfer_amount="0", independent_amount="0.01").is_covered


def test_the_desk_s_integers_decide_as_the_formula_does() -> None:
    """A dollar under MTA = 0 is short in the rows that are proven; under 100,000 it is covered, 100,000 is not."""
    for name, terms, covered in (
        ("short_by_1_USD_MTA_100k", {"minimum_transfer_amount": "100000"}, True),
        ("short_by_1_USD_MTA_0_G_41m", {"minimum_transfer_amount": "0"}, False),
        ("short_by_50k", {"minimum_transfer_amount": "50002"}, True),
        ("short_by_50k", {"minimum_transfer_amount": "50000"}, False),
        ("short_by_50k", {"minimum_transfer_amount": "0", "threshold": "50002"}, True),
        ("short_by_50k", {"minimum_transfer_amount": "50002", "independent_amount": "3"}, False),
    ):
        account, agreed = case("14-minimum-transfer-amount", {}, *DESK[name]), agreement(**terms).agreed
        published, model, limit = account.published, account.model, 41_000_000
        columns = EntryMap.of(published.universe, limit, 20)
        matrices = compile_run(
            model.rows(published.universe, published.market).spread(columns).slack_free(),
            shifted(model.collateral(published.schedule, published.market, account.posted), agreed, "run"),
            columns,
            limit,
            minimum_transfer_amount=call_step(agreed, model.minimum_transfer_amount, limit),
        )
        z = encode(account.book, published.universe, columns)
        assert bool((matrices.maintenance_proof.surplus(z) >= 0).all()) is covered, (name, terms)
