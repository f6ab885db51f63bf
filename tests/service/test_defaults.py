"""The operator works a default off: sales at the prices of ticks, a loss that both sides signed, and the waterfall."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import (
    Conflict,
    IllegalTransition,
    InsufficientFunds,
    MalformedRequest,
    NotFound,
    SaleRefused,
    SignatureInvalid,
)
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import defaults, halts
from atomic_margin.service.operator.faults import EXIT_CODE
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.protocol.account.default_documents import CloseOut, FundDraw
from atomic_margin.service.protocol.account.errors import Halted, WrongCollateral, WrongDefault, WrongTick
from atomic_margin.service.protocol.account.halts import STOPPED
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.states import AccountState

from .. import postgres
from .documents import FUND
from .waterfalls import BILL, RULES, USDC, agreed, agreement, capital, default_of, members, with_rules
from .world import World

pytestmark = pytest.mark.long

WorldAt = Callable[[str], World]
HELD = 340_000 * USDC
BILLS = 14_000_000
LOSS = 482_000 * USDC + 1
# A bill of 0.01 USD face at 0.99202, sold for at most 1 % less, in USDC at 0.9981.
FAIR = 9_939


@pytest.fixture
def world(world_at: WorldAt) -> World:
    """The account is in default, after its own contribution and that of two others."""
    world = with_rules(world_at("crash-open"))
    members(world, **{FUND: 500 * USDC, "harbour": 2_000 * USDC, "curlew": 1_000 * USDC})
    world.answer(f"{FUND}.4")
    return world


def sold(world: World, quantity: int = 1_000_000, reference: str = "trade-1", proceeds: int | None = None) -> str:
    brought = quantity * FAIR if proceeds is None else proceeds
    entry = defaults.realise(world.operator, FUND, BILL, quantity, brought, reference, "a stage")
    return str(entry.body["kind"])


def unchanged(world: World) -> tuple[object, ...]:
    return (world.head(), world.account(), world.ledger())


def replayed(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        replay.check(session, world.key)
    assert not any(world.totals().values())


def test_a_default_is_worked_off_from_the_first_sale_to_the_last_line(world: World) -> None:
    default = default_of(world)
    assert (default.top_up_usd, default.held) == ("100000", {BILL: BILLS, "USDC": HELD})
    assert sold(world) == "collateral sold"
    assert default_of(world).held == {BILL: BILLS - 1_000_000, "USDC": HELD + 1_000_000 * FAIR}
    assert world.held(f"{FUND}/liquidation") == default_of(world).held
    # Both sides agree to more than the institution has left: the rest of it is sold first.
    assert agreed(world, LOSS).body["kind"] == "loss agreed"
    with pytest.raises(WrongCollateral, match="nobody else bears anything before that"):
        defaults.close_out(world.operator, FUND)
    sold(world, 7_000_000, "trade-2")
    sold(world, 6_000_000, "trade-3")
    cash = HELD + BILLS * FAIR
    assert default_of(world).held == {"USDC": cash}
    with pytest.raises(Conflict, match="operator fund --capital"):
        defaults.close_out(world.operator, FUND)
    capital(world)
    entry = defaults.close_out(world.operator, FUND)
    assert entry.body["kind"] == "default closed"
    closing = CloseOut.parse(world.entries()[-1].document.body)
    drawn = {(line.layer, line.institution): line.drawn for line in closing.lines}
    # 1,354,000,001 in proportion to 1 and 2 is 451,333,333.67 and 902,666,667.33.
    first, second = 451_333_334, 902_666_667
    assert drawn == {
        ("margin", FUND): cash,
        ("contribution", FUND): 500 * USDC,
        ("capital", None): 1_000 * USDC,
        ("mutual", "curlew"): first,
        ("mutual", "harbour"): second,
    }
    assert sum(drawn.values()) == LOSS
    assert (closing.uncovered, closing.returned) == (0, {})
    assert world.state() == AccountState.CLOSED
    held = {"loss": LOSS, "curlew/fund": 1_000 * USDC - first, "harbour/fund": 2_000 * USDC - second}
    for account, quantity in held.items():
        assert world.held(account) == {"USDC": quantity}
    for account in (f"{FUND}/liquidation", f"{FUND}/fund", "capital"):
        assert world.held(account) == {}
    draw = FundDraw.parse(world.entries("curlew")[-1].document.body)
    assert (draw.quantity, draw.close_out) == (first, closing)
    replayed(world)
    # It is over: nothing more is sold, agreed or closed.
    for again in (lambda: sold(world, 1, "trade-4"), lambda: defaults.close_out(world.operator, FUND)):
        with pytest.raises(Conflict, match="nothing of it is segregated"):
            again()


def test_what_is_left_goes_back_and_may_leave(world: World) -> None:
    agreed(world, 10_000 * USDC)
    defaults.close_out(world.operator, FUND)
    left = {BILL: BILLS, "USDC": HELD - 10_000 * USDC}
    assert (world.account().private.free, world.held(f"{FUND}/free")) == (left, left)
    # Nobody else bore anything.
    assert world.held("harbour/fund") == {"USDC": 2_000 * USDC}
    assert len(world.entries("harbour")) == 2
    world.instruct(FUND, "withdraw", BILL, BILLS)
    with pytest.raises(IllegalTransition, match="closed"):
        world.instruct(FUND, "post", "USDC", 1)
    replayed(world)


def test_a_loss_that_nobody_can_bear_is_shown(world: World) -> None:
    sold(world, 7_000_000, "trade-1")
    agreed(world, 600_000 * USDC)
    sold(world, 7_000_000, "trade-2")
    capital(world)
    defaults.close_out(world.operator, FUND)
    closing = CloseOut.parse(world.entries()[-1].document.body)
    cash = HELD + BILLS * FAIR
    assert closing.uncovered == 600_000 * USDC - cash - 4_500 * USDC
    assert all(line.drawn == line.available for line in closing.lines)
    replayed(world)


# Sales


def test_a_sale_under_its_limit_is_refused(world: World) -> None:
    before = unchanged(world)
    # Face of 10,000 USD at 0.99202, one hundredth less, in USDC at 0.9981; rounded up to the last unit.
    limit = math.ceil(Fraction(10_000 * USDC) * Fraction("0.99202") * Fraction("0.99") / Fraction("0.9981"))
    with pytest.raises(SaleRefused, match=f"{limit} is the least at tick 4") as refused:
        sold(world, 1_000_000, proceeds=limit - 1)
    assert refused.value.field == "proceeds"
    assert unchanged(world) == before
    sold(world, 1_000_000, proceeds=limit)


def test_no_more_is_sold_than_the_proven_amount(world: World) -> None:
    sold(world, 7_000_000, "trade-1")
    before = unchanged(world)
    with pytest.raises(WrongCollateral, match=r"fewer units of .* reach the proven top-up of 100000 USD"):
        sold(world, 3_100_000, "trade-2")
    assert unchanged(world) == before
    sold(world, 3_000_000, "trade-2")
    # 798.841 USD are left, at 0.0099201159 USD a unit.
    with pytest.raises(WrongCollateral, match="sell those, and nothing more"):
        sold(world, 80_529, "trade-3")
    sold(world, 80_528, "trade-3")
    with pytest.raises(WrongCollateral, match="sell those, and nothing more"):
        sold(world, 1, "trade-4")


def test_a_stage_sells_its_share_and_no_more(world: World) -> None:
    with pytest.raises(WrongCollateral, match=r"one stage sells at most 0\.5"):
        sold(world, 7_000_001)
    with pytest.raises(WrongCollateral, match="units of TBILL-2027-02 are held"):
        sold(world, BILLS + 1)


def test_one_trade_is_booked_once(world: World) -> None:
    sold(world, 1_000)
    before = unchanged(world)
    with pytest.raises(Conflict, match="trade-1 is booked already"):
        sold(world, 1_000)
    assert unchanged(world) == before


def test_nothing_is_sold_that_the_rules_do_not_name_or_for_nothing(world: World) -> None:
    for asset, quantity, error in (("USDC", 5, SaleRefused), ("BTC", 5, SaleRefused), (BILL, 0, MalformedRequest)):
        with pytest.raises((error, MarginError)):
            defaults.realise(world.operator, FUND, asset, quantity, 10**12, "trade-9", "a stage")


def test_a_sale_waits_once_prices_for_the_next_tick_were_seen(world: World) -> None:
    (price,) = world.prices(4, sequence="5")["prices"]
    assert world.client.post("/v1/prices", json=price, auth=world.signed_by(world.source)).status_code == 201
    with pytest.raises(WrongTick, match="sell after the next tick"):
        sold(world)


def test_an_account_in_default_posts_and_withdraws_nothing(world: World) -> None:
    world.deposit(FUND, "USDC", 7, "late")
    for action in ("post", "withdraw"):
        with pytest.raises(IllegalTransition, match="in_default"):
            world.instruct(FUND, action, "USDC", 7)
    with pytest.raises(IllegalTransition, match="in_default"):
        defaults.contribute(world.operator, FUND, 7, "late-fund")


def test_an_account_that_is_not_in_default_has_nothing_to_sell(world_at: WorldAt) -> None:
    world = with_rules(world_at("calm-done"))
    for act in (lambda: sold(world), lambda: defaults.close_out(world.operator, FUND)):
        with pytest.raises(Conflict, match="nothing of it is segregated"):
            act()


def test_rules_that_leave_an_asset_out_are_not_served(world: World, tmp_path: Path) -> None:
    settings = replace(world.operator.settings, directory=tmp_path / "other", waterfall=RULES)
    with pytest.raises(MalformedDocument, match="discounts: give one for"):
        Operator(settings, world.operator.terms)
    assert not settings.directory.exists()


def test_without_rules_nothing_is_realised_contributed_or_closed(world_at: WorldAt) -> None:
    world = world_at("crash-done")
    for act in (
        lambda: sold(world),
        lambda: defaults.contribute(world.operator, FUND, 1, "a"),
        lambda: defaults.add_capital(world.operator, 1, "a"),
        lambda: defaults.close_out(world.operator, FUND),
    ):
        with pytest.raises(Conflict, match="serve with --waterfall"):
            act()


# The loss


def test_a_loss_that_one_side_signed_closes_nothing(world: World) -> None:
    document = agreement(world, 5 * USDC)
    for forged in (world.operator.identity, world.funds["harbour"].identity):
        with pytest.raises(SignatureInvalid):
            defaults.ask_to_agree(world.operator, FUND, forged.sign("loss-agreement", document.body).to_json())
    with pytest.raises(Conflict, match="no loss is agreed that both sides signed"):
        defaults.close_out(world.operator, FUND)
    defaults.ask_to_agree(world.operator, FUND, document.to_json())
    with pytest.raises(Conflict, match="no loss is agreed that both sides signed"):
        defaults.close_out(world.operator, FUND)
    assert defaults.offered(world.operator, FUND).problem is None
    with pytest.raises(Conflict, match="look at it again"):
        defaults.agree(world.operator, FUND, "1a" * 32)
    entry = defaults.agree(world.operator, FUND, document.body_hash())
    assert defaults.agree(world.operator, FUND, document.body_hash()) == entry
    with pytest.raises(NotFound):
        defaults.offered(world.operator, FUND)


def test_what_was_signed_before_a_sale_is_agreed_to_no_more(world: World) -> None:
    document = agreement(world, 5 * USDC)
    defaults.ask_to_agree(world.operator, FUND, document.to_json())
    sold(world, 1_000)
    assert "there are 1" in str(defaults.offered(world.operator, FUND).problem)
    with pytest.raises(WrongDefault, match="signed after 0 sales, and there are 1"):
        defaults.agree(world.operator, FUND, document.body_hash())


def test_a_loss_is_in_the_cash_of_the_rules(world: World) -> None:
    for wrong in ({"rules": "1a" * 32}, {"asset": "BTC"}):
        with pytest.raises(Conflict, match="under rules"):
            defaults.ask_to_agree(world.operator, FUND, agreement(world, 5, **wrong).to_json())


def test_beyond_the_agreed_loss_nothing_is_sold(world: World) -> None:
    agreed(world, HELD + 50 * USDC)
    with pytest.raises(WrongCollateral, match="reach the agreed loss"):
        sold(world, 10_000)
    sold(world, 5_031)
    with pytest.raises(WrongCollateral, match="reach the agreed loss"):
        sold(world, 1, "trade-2")
    defaults.close_out(world.operator, FUND)
    replayed(world)


# The fund


def test_contributions_are_booked_once_and_follow_one_another(world: World) -> None:
    with pytest.raises(Conflict, match="fund-harbour is booked already"):
        defaults.contribute(world.operator, "harbour", 5, "fund-harbour")
    defaults.contribute(world.operator, "harbour", 5, "again")
    share = world.account("harbour").public.fund
    assert share is not None
    assert (share.quantity, share.number, share.rules) == (2_000 * USDC + 5, 4, RULES.hash())
    with pytest.raises(MalformedRequest):
        defaults.contribute(world.operator, "harbour", 0, "nothing")
    replayed(world)


def test_capital_that_is_missing_closes_nothing_out(world: World) -> None:
    sold(world, 7_000_000, "trade-1")
    agreed(world, 600_000 * USDC)
    sold(world, 7_000_000, "trade-2")
    capital(world, 999 * USDC)
    before = (unchanged(world), world.head("harbour"))
    with pytest.raises(Conflict, match="bring the rest"):
        defaults.close_out(world.operator, FUND)
    assert (unchanged(world), world.head("harbour")) == before


@pytest.mark.parametrize("stopped", [set(), {EventKind.DEFAULT_CLOSED}], ids=["close-out", "draws"])
def test_a_halt_of_settlements_closes_nothing_out_and_draws_on_nobody(
    world: World, stopped: set[EventKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a close-out is one unit of work: were the draws alone refused, nothing would be left of it."""
    sold(world, 7_000_000, "trade-1")
    agreed(world, LOSS)
    sold(world, 7_000_000, "trade-2")
    capital(world)
    halts.halt(world.operator, "an incident", ("settlements",))
    before = (unchanged(world), world.head("harbour"), world.head("curlew"))
    going_on = {kind: scope for kind, scope in STOPPED.items() if kind not in stopped}
    monkeypatch.setattr("atomic_margin.service.protocol.account.halts.STOPPED", going_on)
    with pytest.raises(Halted, match="halted settlements"):
        defaults.close_out(world.operator, FUND)
    assert (unchanged(world), world.head("harbour"), world.head("curlew")) == before
    halts.resume(world.operator, "over")
    defaults.close_out(world.operator, FUND)
    assert world.state() == AccountState.CLOSED
    replayed(world)


@pytest.mark.long
@pytest.mark.parametrize("point", ["sale-booked", "close-out-booked"])
def test_a_crash_between_ledger_and_entry_leaves_neither(world: World, point: str) -> None:
    if point == "close-out-booked":
        agreed(world, 10 * USDC)
    before = (unchanged(world), world.head("harbour"))
    act = (
        f"defaults.realise(w.operator, {FUND!r}, {BILL!r}, 1000, 9939000, 'trade-1', 'a stage')"
        if point == "sale-booked"
        else f"defaults.close_out(w.operator, {FUND!r})"
    )
    world.close()
    url = postgres.url_of(world.directory)
    in_server = (
        "from atomic_margin.service.operator.store.database import Store\n"
        f"Store.in_directory = classmethod(lambda kind, _: kind({url!r}))\n"
    )
    code = (
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, '.')\n"
        f"{'' if url is None else in_server}"
        "from atomic_margin.service.protocol.signing import Identity\n"
        "from atomic_margin.service.operator.accounts import defaults\n"
        "from tests.service.world import World\nfrom tests.service.waterfalls import with_rules\n"
        f"w = with_rules(World(Path({str(world.directory)!r}), Identity.generate(), {{}}))\n{act}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ATOMIC_MARGIN_FAULT": point},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_CODE, done.stderr
    again = with_rules(world.restarted())
    assert (unchanged(again), again.head("harbour")) == before
    replayed(again)
    again.close()


def test_more_than_the_ledger_has_is_never_drawn(world: World) -> None:
    """The ledger says so itself, whatever the documents say."""
    from atomic_margin.service.operator.settlement import ledger

    with pytest.raises(InsufficientFunds), world.operator.store.unit_of_work() as session:
        ledger.book(session, "x", "x", [ledger.Move("USDC", 2_001 * USDC, "harbour/fund", ledger.LOSS)])
