"""How long the archive of an account of many ticks takes to check, on the example's own model and book.

    pytest -m slow -s tests/service/test_archive_size.py

Every run is answered by a real proof, so making the account takes most of the time; fewer ticks are asked for by
ATOMIC_MARGIN_ARCHIVE_TICKS. The evaluation is the plain one: an archive has none of its words. Archive and trust file
stay in pytest's folder, for `atomic-margin verify fund.zip --trust trust.json`.
"""

import json
import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.operator.runs import ticks
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms

from . import double, world
from .documents import FUND, full_example
from .test_archive import archived, verified

TICKS = int(os.environ.get("ATOMIC_MARGIN_ARCHIVE_TICKS", "1000"))
GROSS_LIMIT = 1 << 26
PROFILE = profile_by_name("256x24x24")


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_thousand_ticks_are_checked_within_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "GROSS_LIMIT", GROSS_LIMIT)
    monkeypatch.setattr(world, "PlainEvaluator", lambda: double.PlainEvaluator(PROFILE))
    documents = (full_example(name) for name in ("model-scan", "universe", "collateral-schedule"))
    played = world.World(tmp_path / "data", Identity.generate(), {}, terms=Terms.parse(*documents, PROFILE))
    fund = world.Fund(FUND, secret=double.PlainKeys(PROFILE))
    played.funds[FUND] = fund
    played.enrol(FUND)
    holdings = CollateralHoldings.parse(full_example("collateral"))
    for asset, quantity in sorted(holdings.posted.items()):
        played.deposit(FUND, asset, quantity, f"custodian-{asset}")
        played.instruct(FUND, "post", asset, quantity)
    book = encode(Portfolio.parse(full_example("portfolio")), played.terms.universe, played.columns)
    played.submit(FUND, tuple(int(value) for value in book))
    began = time.monotonic()
    for number in range(1, TICKS + 1):
        tick(played, number)
        assert played.evaluate() == f"{FUND}.{number}"
        played.answer(f"{FUND}.{number}")
    made = time.monotonic() - began
    path = archived(played, tmp_path / "fund.zip")
    written = time.monotonic() - began - made
    (tmp_path / "trust.json").write_text(json.dumps(played.trust()))
    spent, began = time.process_time(), time.monotonic()
    found = verified(path, played.trust())
    seconds, spent = time.monotonic() - began, time.process_time() - spent
    shape = f"{len(played.columns)} columns, {len(played.terms.model.labels)} rows"
    size = path.stat().st_size / 1e6
    print(
        f"{TICKS} ticks of {shape}: played in {made:.0f} s, written in {written:.1f} s, {size:.1f} MB; checked in "
        f"{seconds:.1f} s ({spent:.1f} s of processor time), {found.proofs} proofs"
    )
    assert found.account == played.account()
    assert found.kinds["covered"] == found.ticks == TICKS
    assert seconds < 60 * max(TICKS, 100) / 1000


def tick(played: world.World, number: int) -> None:
    """Send the example's prices, a minute later each, moved a little so that no two ticks give the same rows."""
    changed = full_example("market-1")
    moment = datetime(2026, 11, 20, 8, tzinfo=timezone.utc) + timedelta(minutes=number)
    changed |= {"sequence": str(number), "as_of": instant_text(moment)}
    changed["underlyings"]["BTC"]["spot"] = f"{96420 + number % 7}.5"
    place = played.next_place()
    market = Market.parse(changed)
    document = price_set([sign_market(played.source, market, place)], place.sequence).canonical()
    ticks.take_tick(played.operator, document)
