"""Concentration tiers against the published table and accounts, their lines and rows, and the scale rows can hold."""

import csv
import json
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents import errors as document_errors
from atomic_margin.margin import errors
from atomic_margin.margin.collateral.tiered_accounts import AssetTiers, parse_account, parse_asset, value_account
from atomic_margin.margin.collateral.tiers import NO_LIMIT, Tier, TierTable
from atomic_margin.margin.rows.matrix import MAX_ENTRY
from atomic_margin.margin.rows.tier_rows import best_slack, combine_rows, compile_rows, finest_scale, slack_rows

from ..outside import outside

DOCUMENT = Path(__file__).parents[2] / "docs" / "collateral.md"
SAMPLE = "[0-10000:100,10000-20000:90,20000-30000:80,30000-40000:70,40000-50000:60,50000-60000:50,60000-70000:40,70000-80000:30,80000-90000:20,90000-100000:10]"  # noqa: E501
Rows = list[dict[str, str]]


def rows(name: str) -> Rows:
    with (outside("collateral_tiers") / name).open(newline="") as file:
        return list(csv.DictReader(file))


def sample_assets() -> Mapping[str, AssetTiers]:
    return {asset.symbol: asset for asset in map(parse_asset, rows("cex_assets_info.csv"))}


@st.composite
def tables(draw: st.DrawFn, empty: bool = True) -> TierTable:
    count = draw(st.integers(0 if empty else 1, 6))
    widths = draw(st.lists(st.integers(1, 10**6), min_size=count, max_size=count))
    percents = sorted(draw(st.lists(st.integers(0, 100), min_size=count, max_size=count)), reverse=True)
    bounds = [sum(widths[:index]) for index in range(count + 1)]
    ends: list[int | None] = [*bounds[1:]]
    if count and draw(st.booleans()):
        ends[-1] = None
    return TierTable(tuple(Tier(low, high, p) for low, high, p in zip(bounds, ends, percents, strict=False)))


def by_definition(table: TierTable, value: Fraction) -> Fraction:
    """Dollar by dollar where it matters: the part of every band below the value."""
    total = Fraction(0)
    for low, high, percent in table.tiers:
        if value > low:
            total += (value if high is None or value < high else Fraction(high)) * percent - low * percent
    return total / 100


# The published accounts


@pytest.mark.parametrize("name", ["sample_users0.csv", "sample_users1.csv"])
def test_the_published_accounts_are_reproduced_to_the_last_digit(name: str) -> None:
    assets, accounts = sample_assets(), rows(name)
    expected = json.loads((outside("collateral_tiers") / "expected_accounts.json").read_text())[name]
    assert len(accounts) == len(expected) == 100
    for row, wanted in zip(accounts, expected, strict=True):
        account = parse_account(row, assets)
        totals = value_account(account, assets)
        found: dict[str, Any] = {
            "rn": account.number,
            "id": row["id"],
            "total_equity_e16": str(totals.equity),
            "total_debt_e16": str(totals.debt),
            "total_collateral_e16": str(totals.collateral),
            "status": totals.status,
        }
        assert found == wanted


def test_the_published_worked_example() -> None:
    quantities = {
        "btc": ("145.71647457", "1.84812783", "72.85823729", "36.42911864", "18.21455932"),
        "eth": ("254.24316291", "33.23064077", "127.12158145", "63.56079073", "31.78039536"),
        "bnb": ("578.34282404", "197.16095367", "289.17141202", "144.58570601", "72.29285300"),
        "shib": ("251.00", "6695243670.15", "125.50", "62.75", "31.38"),
    }
    row = {
        f"{prefix}_{symbol}": value
        for symbol, values in quantities.items()
        for prefix, value in zip(("e", "d", "vl", "m", "pm"), values, strict=True)
    }
    assets = sample_assets()
    totals = value_account(parse_account(row, assets), assets)
    assert totals.equity == 107595993240612342000000
    assert totals.debt == 4812541145779934000000
    assert totals.collateral == 4861152676874104600000
    assert totals.status == "valid"


def test_the_full_table_of_483_assets_is_read() -> None:
    assets = [parse_asset(row) for row in rows("exchange_assets_full.csv")]
    assert len(assets) == 483
    tables_read = [table for asset in assets for table in (asset.loan, asset.margin, asset.portfolio)]
    assert max(len(table.tiers) for table in tables_read) == 9
    for table in tables_read:
        bounds = [0, *(tier.up_to for tier in table.tiers if tier.up_to is not None)]
        for bound in bounds:
            for value in (Fraction(bound), bound + Fraction(1, 3)):
                assert table.credit(value) == min(line.percent * value + line.base for line in table.lines) / 100


# The rule


def test_marginal_like_a_tax_table() -> None:
    table = TierTable.parse(" [0-10000:100, 10000-20000:90] ")
    cases = {0: 0, 10_000: 10_000, 12_000: 11_800, 20_000: 19_000, 50_000: 19_000}
    assert {value: table.credit(Fraction(value)) for value in cases} == cases
    open_end = TierTable.parse(f"[0-10:100,10-{NO_LIMIT}:10]")
    assert open_end.credit(Fraction(1010)) == 110
    for nothing in ("", "[]", " [ ] "):
        assert TierTable.parse(nothing).credit(Fraction(10**9)) == 0


@given(table=tables(), cents=st.integers(0, 10**9))
def test_credit_is_the_least_of_the_lines(table: TierTable, cents: int) -> None:
    value = Fraction(cents, 100)
    assert table.credit(value) == by_definition(table, value)
    assert 100 * table.credit(value) == min(line.percent * value + line.base for line in table.lines)
    assert 0 <= table.credit(value) <= value
    assert all(line.base >= 0 for line in table.lines)


@given(table=tables(), cents=st.integers(0, 10**9), share=st.fractions(0, 1))
def test_the_least_value_is_the_inverse(table: TierTable, cents: int, share: Fraction) -> None:
    credit = table.credit(Fraction(cents, 100)) * share
    value = table.least_value(credit)
    assert table.credit(value) == credit
    assert value == 0 or table.credit(value - Fraction(1, 10**9)) < credit
    if not table.tiers or table.tiers[-1].up_to is not None:
        with pytest.raises(ValueError, match="no value"):
            table.least_value(Fraction(table.lines[-1].base, 100) + Fraction(1, 100))


@given(table=tables(), value=st.integers(0, 10**22), scale=st.integers(0, 16))
def test_scaled_integers_round_down_once(table: TierTable, value: int, scale: int) -> None:
    exact = table.credit(Fraction(value, 10**scale)) * 10**scale
    scaled = table.credit_scaled(value, 10**scale)
    # With two decimals or more whole bounds leave only the last band to round.
    assert scaled <= exact
    assert exact - scaled < (1 if scale >= 2 else 6)


@given(table=tables(), value=st.integers(0, 10**12), more=st.integers(0, 10**12))
def test_more_never_counts_at_a_better_rate(table: TierTable, value: int, more: int) -> None:
    gain = table.credit(Fraction(value + more)) - table.credit(Fraction(value))
    assert 0 <= gain <= table.credit(Fraction(more))


@pytest.mark.parametrize(
    ("text", "error", "field"),
    [
        ("[1-10:100]", errors.TierGap, "tiers[0].above"),
        ("[0-10:100,11-20:90]", errors.TierGap, "tiers[1].above"),
        ("[0-10:100,9-20:90]", errors.TierGap, "tiers[1].above"),
        ("[0-10:100,10-10:90]", errors.TierGap, "tiers[1].up_to"),
        ("[0-10:100,10-5:90]", errors.TierGap, "tiers[1].up_to"),
        (f"[0-{NO_LIMIT}:100,{NO_LIMIT}-{NO_LIMIT}:90]", errors.TierGap, "tiers[1].above"),
        (f"[0-{2**64}:100]", errors.TierGap, "tiers[0].up_to"),
        ("[0-10:90,10-20:91]", errors.TierRising, "tiers[1].percent"),
        ("[0-10:101]", document_errors.OutOfRange, "tiers[0].percent"),
        ("[0-10]", document_errors.MalformedDocument, "tiers[0]"),
        ("[0-10:-5]", document_errors.MalformedDocument, "tiers[0]"),
        ("[0-10:9.5]", document_errors.MalformedDocument, "tiers[0]"),
        ("0-10:100", document_errors.MalformedDocument, "tiers"),
        ("[" + ",".join(f"{i}-{i + 1}:50" for i in range(13)) + "]", document_errors.MalformedDocument, "tiers"),
    ],
)
def test_what_is_no_table_is_refused(text: str, error: type[document_errors.DocumentError], field: str) -> None:
    with pytest.raises(document_errors.DocumentError) as caught:
        TierTable.parse(text)
    assert (type(caught.value), caught.value.field) == (error, field)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"usdt_price": "0"}, document_errors.NonPositivePrice),
        ({"usdt_price": "-1"}, document_errors.NotADecimal),
        ({"usdt_price": "1e5"}, document_errors.NotADecimal),
        ({"usdt_price": None}, document_errors.MalformedDocument),
        ({"margin_tiers_ratio": "[0-10:50,10-20:60]"}, errors.TierRising),
    ],
    ids=str,
)
def test_bad_asset_rows_are_refused(change: dict[str, str | None], error: type[document_errors.DocumentError]) -> None:
    names = ("loan_tiers_ratio", "margin_tiers_ratio", "portfolio_tiers_ratio")
    row = {"symbol": "btc", "usdt_price": "65100.22", **dict.fromkeys(names, SAMPLE), **change}
    with pytest.raises(error):
        parse_asset({name: value for name, value in row.items() if value is not None})


def test_bad_account_rows_are_refused() -> None:
    names = ("loan_tiers_ratio", "margin_tiers_ratio", "portfolio_tiers_ratio")
    assets = {"btc": parse_asset({"symbol": "btc", "usdt_price": "0.5", **dict.fromkeys(names, SAMPLE)})}
    good = {"e_btc": "2", "d_btc": "0", "vl_btc": "1", "m_btc": "0.5", "pm_btc": "0.5"}
    assert value_account(parse_account(good, assets), assets).status == "valid"
    more = {**good, "pm_btc": "0.50000001"}
    assert value_account(parse_account(more, assets), assets).status == "collateral_exceeds_equity"
    owing = {**good, "d_btc": "2.00000001"}
    assert value_account(parse_account(owing, assets), assets).status == "debt_exceeds_collateral"
    for change, error in (
        ({"vl_btc": "0.000000001"}, document_errors.NotADecimal),
        ({"vl_btc": "-1"}, document_errors.NotADecimal),
        ({"e_eth": "1"}, errors.UnknownAsset),
    ):
        with pytest.raises(error):
            parse_account({**good, **change}, assets)
    del good["m_btc"]
    with pytest.raises(document_errors.MalformedDocument, match="missing"):
        parse_account(good, assets)


def test_prices_finer_than_the_scale_are_rounded_against_the_holder() -> None:
    names = ("loan_tiers_ratio", "margin_tiers_ratio", "portfolio_tiers_ratio")
    asset = parse_asset({"symbol": "dai", "usdt_price": "0.9999000099990001", **dict.fromkeys(names, SAMPLE)})
    assert asset.value(10**8) == 99990000 * 10**8
    assert asset.value(10**8, owed=True) == 99990001 * 10**8


# As rows


@given(table=tables(), scale=st.integers(2, 3), digits=st.lists(st.integers(0, 31), min_size=3, max_size=3))
def test_the_least_row_is_the_rule_in_integers(table: TierTable, scale: int, digits: list[int]) -> None:
    """In units of 10^-scale/100 USD nothing is rounded; the source's rule is the least row, cut to 10^-scale."""
    step = Fraction(1, 10**scale)
    values = [step * 1237 * 32**digit for digit in range(3)]
    compiled = compile_rows(table, values, step / 100)
    v = sum(digit * int(value / step) for digit, value in zip(digits, values, strict=True))
    assert Fraction(compiled.credit(digits)) == table.credit(v * step) * 100 / step
    assert compiled.credit(digits) // 100 == table.credit_scaled(v, 10**scale)


@given(
    table=tables(),
    price=st.fractions(Fraction(1, 1000), 10**5, max_denominator=10**6),
    exponent=st.integers(-16, 6),
    digits=st.lists(st.integers(0, 31), min_size=4, max_size=4),
)
def test_rows_in_any_unit_round_down(table: TierTable, price: Fraction, exponent: int, digits: list[int]) -> None:
    unit, values = Fraction(2) ** exponent, [price * 32**digit / 100 for digit in range(4)]
    compiled = compile_rows(table, values, unit)
    exact = table.credit(sum((d * value for d, value in zip(digits, values, strict=True)), Fraction(0))) / unit
    assert compiled.credit(digits) <= exact < compiled.credit(digits) + sum(digits) + 1


@given(first=tables(), second=tables(), digits=st.lists(st.integers(0, 31), min_size=4, max_size=4))
def test_several_assets_with_and_without_slack(first: TierTable, second: TierTable, digits: list[int]) -> None:
    values = [Fraction(10), Fraction(320)]
    assets = [compile_rows(table, values, Fraction(1, 64)) for table in (first, second)]
    both = assets[0].credit(digits[:2]) + assets[1].credit(digits[2:])
    combined = combine_rows(assets)
    assert len(combined.offsets) == len(first.lines) * len(second.lines)
    assert combined.credit(digits) == both
    exact, z = slack_rows(assets), np.array(digits)
    assert len(exact.offsets) == len(first.lines) + len(second.lines)
    slack = np.array(best_slack(assets, [digits[:2], digits[2:]]))
    assert slack.sum() == both
    assert (exact.weights @ z + exact.slack_weights @ slack + exact.offsets).min() >= 0
    # One unit more of either breaks a row, so slack that passes never says more than the tiers do.
    for lie in (np.array([1, 0]), np.array([0, 1])):
        assert (exact.weights @ z + exact.slack_weights @ (slack + lie) + exact.offsets).min() < 0


def test_too_many_combinations_ask_for_slack() -> None:
    asset = compile_rows(TierTable.parse(SAMPLE), [Fraction(1)], Fraction(1))
    assert len(slack_rows([asset] * 3).offsets) == 33
    with pytest.raises(errors.TooManyRows, match="slack"):
        combine_rows([asset] * 3)
    with pytest.raises(ValueError, match="one unit"):
        combine_rows([asset, compile_rows(TierTable.parse(SAMPLE), [Fraction(1)], Fraction(2))])


# The scale rows can hold


def fits(table: TierTable, largest: Fraction, scale: int) -> bool:
    """Whether every term of a row is at most 2^42, tried rather than computed."""
    unit = Fraction(1, 100 * 10**scale)
    try:
        compile_rows(table, [largest], unit)
    except errors.ScaleTooFine:
        return False
    return True


@given(table=tables(empty=False), largest=st.integers(1, 10**10))
def test_the_finest_scale_is_the_last_that_fits(table: TierTable, largest: int) -> None:
    try:
        scale = finest_scale(table, Fraction(largest))
    except errors.ScaleTooFine:
        assert not fits(table, Fraction(largest), 0)
        return
    assert fits(table, Fraction(largest), scale)
    assert all(line == (0, 0) for line in table.lines) or not fits(table, Fraction(largest), scale + 1)


def test_the_scale_of_the_source_does_not_fit() -> None:
    table = TierTable.parse(SAMPLE)
    with pytest.raises(errors.ScaleTooFine, match="does not fit 2\\^42"):
        compile_rows(table, [Fraction(1)], Fraction(1, 100 * 10**16))
    # Even alone the largest base, 100 times 55,000 USD, times 10^16, is far above it.
    assert max(line.base for line in table.lines) * 10**16 > MAX_ENTRY


def scales() -> dict[str, tuple[Fraction, int]]:
    """The scale for the sample accounts' largest pledge, and for the full table up to its largest bound."""
    assets = sample_assets()
    pledges: dict[str, Fraction] = {}
    for name in ("sample_users0.csv", "sample_users1.csv"):
        for row in rows(name):
            for symbol, held in parse_account(row, assets).holdings.items():
                value = Fraction(assets[symbol].value(max(held.loan, held.margin, held.portfolio)), 10**16)
                pledges[symbol] = max(value, pledges.get(symbol, Fraction(0)))
    largest = max(pledges.values())
    sample = min(
        finest_scale(assets[symbol].loan, value) for symbol, value in pledges.items() if assets[symbol].loan.tiers
    )
    full = [parse_asset(row) for row in rows("exchange_assets_full.csv")]
    every = [table for asset in full for table in (asset.loan, asset.margin, asset.portfolio)]
    every = [table for table in every if table.lines != ((0, 0),)]
    bound = Fraction(max(tier.up_to for table in every for tier in table.tiers if tier.up_to is not None))
    return {"sample": (largest, sample), "full": (bound, min(finest_scale(table, bound) for table in every))}


def test_the_document_states_the_scales() -> None:
    text = DOCUMENT.read_text()
    for name, (largest, scale) in scales().items():
        row = re.search(rf"^\| {name} .*\| ([\d,]+) \| 10\^-(\d+) \|$", text, re.MULTILINE)
        assert row is not None
        assert (int(row[1].replace(",", "")), int(row[2])) == (int(largest), scale)
