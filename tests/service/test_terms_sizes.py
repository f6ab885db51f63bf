"""Terms, accounts and profiles that do not go together are refused, by what would do instead."""

import pytest

from atomic_margin.bench.service.listing import GROSS_LIMIT, Listing, cash_schedule, scan_model
from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.columns import ColumnChoice
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.protocol.terms import AccountColumns, Terms

from .documents import full_example

EXCHANGE = Listing.of_strikes(30)
ONE_ENTRY = {"tiers": {"option": [["1", "10"]]}}


def terms(profile: str, listing: Listing, rows: int = 4) -> Terms:
    return Terms.parse(scan_model(rows), listing.universe(), cash_schedule(), profile_by_name(profile))


def columns(under: Terms, choice: object = None) -> int:
    chosen = None if choice is None else ColumnChoice.parse(choice)
    return len(under.columns(AccountColumns(under.universe.hash(), GROSS_LIMIT, chosen)))


@pytest.mark.parametrize(
    ("profile", "rows", "wanted"),
    [
        ("256x24x24", 43, "256x64x24"),
        ("standard", 25, "256x33x20"),
        ("512x33x24", 37, "1024x64x24"),
        ("16x16x16", 64, "64x64x20"),
    ],
)
def test_a_model_with_more_rows_is_told_the_profile_that_has_them(profile: str, rows: int, wanted: str) -> None:
    listing = Listing(3)
    with pytest.raises(ProfileError, match=f"{rows} rows do not fit .*: profile {wanted} is large enough"):
        terms(profile, listing, rows)
    assert columns(terms(wanted, listing, rows)) == 16


def test_a_model_with_more_rows_than_any_profile_is_told_so() -> None:
    with pytest.raises(ProfileError, match="no published profile is large enough: they end at 4096 entries, 64 rows"):
        terms("256x24x24", Listing(3), 65)


def test_an_account_with_more_columns_is_told_the_profile_that_has_them() -> None:
    told = r"2412 columns do not fit .*: choose fewer .*; profile 4096x24x24 is large enough"
    with pytest.raises(ProfileError, match=told):
        columns(terms("1024x24x24", EXCHANGE), ONE_ENTRY)
    assert columns(terms("4096x24x24", EXCHANGE), ONE_ENTRY) == 2412


def test_the_listing_of_an_exchange_fits_no_profile_unless_an_account_chooses_its_entries() -> None:
    assert EXCHANGE.instruments == 1202
    with pytest.raises(ProfileError, match=r"4812 columns do not fit .*; no published profile is large enough"):
        columns(terms("4096x64x24", EXCHANGE, 64))
    assert columns(terms("4096x64x24", EXCHANGE, 64), ONE_ENTRY) == 2 * 1200 + 8 + 4
    assert columns(terms("4096x64x24", EXCHANGE, 64), {"underlyings": ["ETH"]}) == 4 * 601 + 4


def test_an_entry_that_is_too_wide_is_told_the_profile_that_takes_it() -> None:
    wide = {"tiers": {"option": [["1", "16"]]}}
    with pytest.raises(ProfileError, match=r"an entry of 16 bits does not fit .*; profile 16x16x20 is large enough"):
        columns(terms("tiny", Listing(3)), wide)
    assert columns(terms("16x16x20", Listing(3)), wide) == 14


@pytest.mark.parametrize(
    ("profile", "choice", "lost"),
    [
        ("standard", False, 30_800),
        ("256x24x24", False, 112_000),
        ("256x24x24", True, 2_900),
        ("4096x24x24", True, 12_200),
    ],
)
def test_what_the_early_warning_of_the_example_loses_to_rounding(profile: str, choice: bool, lost: float) -> None:
    """What docs/institution.md and ADR 0042 say of 24 bits: narrow weights want entries that count few lots."""
    model, universe, schedule = (full_example(name) for name in ("model-scan", "universe", "collateral-schedule"))
    book = Portfolio.parse(full_example("portfolio"))
    market, posted = Market.parse(full_example("market-1")), CollateralHoldings.parse(full_example("collateral")).posted
    under = Terms.parse(model, universe, schedule, profile_by_name(profile))
    chosen = ColumnChoice.parse(full_example("columns")) if choice else None
    account = AccountColumns(under.universe.hash(), int(full_example("institution")["gross_limit"]), chosen)
    z = under.encode(book, account)
    matrices = under.compile(market, posted, account)
    true = under.model.reference(under.published(market, account.universe), book, posted).excess["maintenance"]
    coarse, fine = (
        true - float(matrix.usd(int(matrix.surplus(z).min())))
        for matrix in (matrices.maintenance_fhe, matrices.maintenance_proof)
    )
    assert coarse == pytest.approx(lost, rel=0.02)
    assert 0 <= fine < lost / 1000
