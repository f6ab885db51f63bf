"""Ten ticks of one account under real FHE: it trades at market, is called, its options expire, its universe is revised.

A verifier follows every step from what the operator publishes.
"""

from typing import Any

import pytest

from atomic_margin.margin import Universe
from atomic_margin.margin.market.trades import Trades
from atomic_margin.service.demo.parties import NAME, signed_prices
from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.agent_messages import Submitted
from atomic_margin.service.protocol.messages import AccountView, RunView, TickAccepted, UniverseListed
from atomic_margin.service.protocol.states import AccountState, RunState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import load_group

from .harness import World
from .small import INSTRUMENTS, PORTFOLIO, market, read

pytestmark = [pytest.mark.fhe, pytest.mark.long, pytest.mark.timeout(900)]

EXPIRY = "2026-12-25T08:00:00Z"
SETTLED = "98000"
Json = dict[str, Any]


def quotes(number: int, sequence: int, as_of: str | None = None, *, elapsed: str = "0", funding: str = "0") -> Json:
    """Return an example's market; December's settlement window may have begun or ended."""
    document = market(number, sequence, sequence)
    if as_of is not None:
        document["as_of"] = as_of
    bitcoin = document["underlyings"]["BTC"]
    bitcoin["funding_index"] = funding
    if elapsed != "0":
        for underlying, average in (("BTC", SETTLED), ("ETH", "3400")):
            december = document["underlyings"][underlying]["expiries"][EXPIRY]
            december["settlement"] = {"average": average, "elapsed": elapsed}
            if elapsed == "1":
                del december["forward"]
                december["volatilities"] = {}
    return document


def send(world: World, document: Json) -> RunView:
    """Have every source sign a market, send it, and wait for the end of the run."""
    assert world.operator is not None
    prices = signed_prices(world.sources, document, world.next_place())
    (run,) = TickAccepted.parse(world.operator.post("/v1/ticks", prices)).runs
    return world.wait_run(run)


def trade(instrument: str, side: str, lots: int, price: str, **more: str) -> Json:
    return {"instrument": instrument, "side": side, "lots": str(lots), "price": price, **more}


def submit(world: World, document: Json) -> int:
    assert world.agent is not None
    return int(Submitted.parse(world.agent.post("/v1/portfolio", document)).submission_sequence)


def next_universe(first: Json) -> Json:
    """Return a universe without what has expired, with options of March, at newer reference prices."""
    listed = {"BTC-26MAR27-115000-C": "1", "BTC-26MAR27-85000-P": "1"}
    kept = [item for item in first["instruments"] if item.get("expiry") is None]
    added = [
        {**item, "digits": listed[item["id"]]} for item in read("universe.json")["instruments"] if item["id"] in listed
    ]
    newer = {"BTC-PERP": "95000", "ETH-PERP": "3350"}
    return {
        **first,
        "name": "after December",
        "instruments": [{**item, "reference_price": newer[item["id"]]} for item in kept] + added,
    }


def book_after(world: World, opening: Json, *trades: Json, universe: Universe) -> Json:
    """Return the portfolio that trades leave, and send the trades themselves to the agent."""
    document = {"format": "atomic-margin/trades/1", "opening": opening, "trades": list(trades)}
    submit(world, document)
    left = Trades.parse(document).net(universe).canonical()
    assert isinstance(left, dict)
    return dict(left)


def test_an_account_trades_is_called_expires_and_rolls_over_ten_ticks(world: World) -> None:
    first = read_json(world.examples / "universe.json")
    assert {item["id"] for item in first["instruments"]} == set(INSTRUMENTS)
    old = Universe.parse(first)
    views: list[RunView] = []
    with world.both():
        assert world.operator is not None
        views.append(send(world, quotes(1, 1)))
        # It sells at the market: no profit, and no allowance but for rounding.
        calm = market(1, 1)["underlyings"]["BTC"]["perpetual"]
        book = book_after(
            world, PORTFOLIO, trade("BTC-PERP", "sell", 2, calm, funding_index="0", fee="55.5"), universe=old
        )
        views.append(send(world, quotes(1, 2)))
        # The market falls, and the account is called.
        views.append(send(world, quotes(2, 3)))
        views.append(send(world, quotes(3, 4, funding="12.5")))
        # It buys after the rally, at what that costs and with the funding paid since.
        back = market(3, 4)["underlyings"]["BTC"]["perpetual"]
        book = book_after(world, book, trade("BTC-PERP", "buy", 1, back, funding_index="12.5", fee="20"), universe=old)
        views.append(send(world, quotes(3, 5, funding="12.5")))
        # December's options expire: half of the window, then all of it.
        views.append(send(world, quotes(3, 6, "2026-12-25T07:45:00Z", elapsed="0.5", funding="12.5")))
        views.append(send(world, quotes(3, 7, EXPIRY, elapsed="1", funding="13")))
        before = world.account().next_submission
        second = next_universe(first)
        listed = world.operator.post("/v1/universes", {"universe": second, "until": "2026-12-31T00:00:00Z"})
        new = Universe.parse(second)
        assert UniverseListed.parse(listed).universe == new.hash() != old.hash()
        # Nobody types anything: the agent carries the book over.
        world.operator.wait(
            f"/v1/institutions/{NAME}",
            AccountView,
            lambda seen: seen.next_submission == before + 1,
            120,
            lambda _: None,
        )
        views.append(send(world, quotes(3, 8, "2026-12-26T08:00:00Z", elapsed="1", funding="13")))
        # It trades what only the new universe has, and is covered once more.
        lines = [{**line, "funding_index": line.get("funding_index", "0")} for line in book["lines"]]
        held = [line for line in lines if line["instrument"].endswith("PERP")]
        assert len(held) == 2
        views.append(send(world, quotes(3, 9, "2026-12-26T09:00:00Z", elapsed="1", funding="14")))
        views.append(send(world, quotes(1, 10, "2026-12-26T10:00:00Z", elapsed="1", funding="14")))
        settled = [view.settlement for view in views]
        assert [one is not None for one in settled] == [False, False, True, *[False] * 7]
        assert settled[2] is not None
        assert settled[2]["body"]["kind"] == "margin_call"
        assert {view.state for view in views} == {RunState.COVERED, RunState.SETTLED}
        assert world.account().state is AccountState.ACTIVE
        trust = TrustFile.parse(read_json(world.trust))
        assert trust.universe == old.hash()
        for number, view in enumerate(views, 1):
            bundle = world.operator.get(f"/v1/attestations/{view.run_id}")
            report = verify_attestation(bundle, trust, load_group())
            assert report.record is not None
            assert report.record.price_sequence == number
            assert report.record.universe == (old if number < 8 else new).hash()
            public = bundle["body"]["history"]["recorded"]["public"]
            # Trades at market used no more than rounding, and so did the new universe.
            assert int(public.get("gained", "0")) <= 2 * 256
