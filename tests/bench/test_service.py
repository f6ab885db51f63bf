"""What `bench service` measures: an account of every size, with real ciphertexts and proofs."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from atomic_margin.bench.service.listing import GROSS_LIMIT, Listing, cash_schedule, listing_for, scan_model
from atomic_margin.bench.service.measure import DEFAULT_PROFILES, POSTED
from atomic_margin.bench.service.table import LINES
from atomic_margin.circuits.profile import DEFAULT, TINY, Profile, profile_by_name
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.cli.main import app
from atomic_margin.service.protocol.terms import AccountColumns, Terms


@pytest.mark.parametrize("profile", [TINY, *map(profile_by_name, DEFAULT_PROFILES)], ids=lambda profile: profile.name)
def test_the_listing_fills_a_profile_and_its_book_is_covered_with_collateral_alone(profile: Profile) -> None:
    listing = listing_for(profile)
    terms = Terms.parse(scan_model(profile.rows), listing.universe(), cash_schedule(), profile)
    account = AccountColumns(terms.universe.hash(), GROSS_LIMIT)
    terms.check_gross_limit(account)
    assert len(terms.columns(account)) == profile.entries
    assert len(terms.model.labels) == profile.rows
    z = terms.encode(Portfolio.parse(listing.portfolio()), account)
    assert np.count_nonzero(z) > 1
    market = Market.parse(listing.market())
    for posted, covered in ((POSTED, True), ({}, False)):
        matrices = terms.compile(market, posted, account)
        for matrix in (matrices.maintenance_fhe, matrices.maintenance_proof):
            assert (int(matrix.surplus(z).min()) >= 0) == covered


def test_listings_have_as_many_instruments_as_they_say() -> None:
    for count in (3, 63, 1023, 1202):
        universe = Listing(count).universe()
        names = [item["id"] for item in universe["instruments"]]
        assert len(names) == len(set(names)) == count
    assert Listing.of_strikes(30).strikes == 30
    assert {item["expiry"] for item in universe["instruments"][2:]} == set(
        Listing(1202).market()["underlyings"]["ETH"]["expiries"]
    )


def test_the_default_profile_is_among_those_that_are_measured() -> None:
    assert DEFAULT.name in DEFAULT_PROFILES
    assert [profile_by_name(name).entries for name in DEFAULT_PROFILES] == [256, 1024, 4096]


@pytest.mark.long
@pytest.mark.fhe
def test_bench_service_measures_every_step_of_an_account(tmp_path: Path) -> None:
    written = tmp_path / "service.json"
    options = ["--sizes", "--profile", "tiny", "--runs", "1", "--json", str(written)]
    result = CliRunner().invoke(app, ["bench", "service", *options])
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(written.read_text())
    assert (figures["profile"], figures["columns"], figures["rows"], figures["runs"]) == ("tiny", 16, 4, 1)
    for key, what, _ in LINES:
        assert figures[key] > 0, key
        assert f"| {what} |" in result.output
    assert figures["submission_bytes"] > 2 * figures["submission_proof_bytes"]
    assert figures["libraries"]["concrete-python"] == "2.11.0"


def test_an_unknown_profile_is_refused_before_anything_is_made() -> None:
    for options in ((), ("--sizes",)):
        result = CliRunner().invoke(app, ["bench", "service", *options, "--profile", "unknown"])
        assert result.exit_code == 2
        assert "no profile named 'unknown'" in result.output
