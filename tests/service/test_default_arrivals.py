"""What arrives for an institution in default is segregated by its operator, and shown to everybody who may look."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.operator.accounts import default_views, defaults, netting
from atomic_margin.service.protocol.account.default_documents import CloseOut
from atomic_margin.service.protocol.account.errors import WrongCollateral
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.netting_documents import Obligation
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.default import verify_default

from .documents import FUND
from .stages import Stages
from .test_defaults import BILL, BILLS, FAIR, HELD, LOSS, replayed, sold
from .test_defaults import world as world
from .test_monitor_released import Watch, history
from .waterfalls import RULES, USDC, agreed, capital, default_of, members, with_rules
from .world import World

K = EventKind
LATE = 5_000 * USDC


def closed(world: World) -> CloseOut:
    defaults.close_out(world.operator, FUND)
    assert world.state() == AccountState.CLOSED
    replayed(world)
    return CloseOut.parse(world.entries()[-1].document.body)


def nobody_else_bore(closing: CloseOut) -> bool:
    return closing.uncovered == 0 and not any(line.drawn for line in closing.lines if line.layer != "margin")


def test_a_deposit_bears_the_loss_before_others_do(world: World) -> None:
    sold(world, 7_000_000, "trade-1")
    agreed(world, LOSS)
    sold(world, 7_000_000, "trade-2")
    world.deposit(FUND, "USDC", LATE, "late")
    view = default_views.default_view(world.operator, FUND)
    assert view.held == {"USDC": HELD + BILLS * FAIR + LATE}
    assert [line.drawn for line in view.lines] == [LOSS, 0, 0, 0, 0]
    closing = closed(world)
    assert nobody_else_bore(closing)
    assert world.entries()[-2].entry.body["kind"] == "collateral segregated"
    left = HELD + BILLS * FAIR + LATE - LOSS
    assert (world.account().private.free, world.held(f"{FUND}/free")) == ({"USDC": left}, {"USDC": left})
    assert world.held("harbour/fund") == {"USDC": 2_000 * USDC}


def test_what_arrives_is_sold_with_the_rest(world: World) -> None:
    sold(world, 7_000_000, "trade-1")
    agreed(world, LOSS)
    world.deposit(FUND, BILL, 1_000_000, "late")
    sold(world, 7_000_000, "trade-2")
    assert default_of(world).held[BILL] == 1_000_000
    assert world.held(f"{FUND}/liquidation") == default_of(world).held
    assert world.account().private.free == {}
    with pytest.raises(WrongCollateral, match=f"{BILL} of the institution is not sold"):
        defaults.close_out(world.operator, FUND)
    replayed(world)


def test_a_delivery_that_is_promised_is_netted_first(world_at: Callable[[str], World]) -> None:
    world = with_rules(world_at("crash-open"))
    members(world, harbour=2_000 * USDC)
    netting.name_party(world.operator, FUND, "lei-one", "party")
    promise: dict[str, Any] = {
        "institution": FUND, "operator": world.key, "sequence": "1", "entry": world.head(), "party": "lei-one",
        "scope": "party", "direction": "delivery", "asset": "USDC", "quantity": str(LATE), "settles": now_text()[:10],
    }  # fmt: skip
    signed = Obligation.parse(promise).signed_by(world.funds[FUND].identity)
    netting.promise(world.operator, FUND, signed.to_json())
    world.answer(f"{FUND}.4")
    sold(world, 7_000_000, "trade-1")
    agreed(world, LOSS)
    sold(world, 7_000_000, "trade-2")
    capital(world)
    before = (world.head(), world.head("harbour"), world.ledger())
    with pytest.raises(WrongCollateral, match="deliveries of USDC are promised and not netted"):
        defaults.close_out(world.operator, FUND)
    assert (world.head(), world.head("harbour"), world.ledger()) == before
    netting.net_cycle(world.operator, now_text()[:10], [("party", "lei-one", "USDC", now_text()[:10])])
    assert world.account().private.free == {"USDC": LATE}
    assert nobody_else_bore(closed(world))


@pytest.fixture(scope="module")
def late(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A default that ended after a deposit."""
    world = with_rules(stages.open("crash-open", tmp_path_factory.mktemp("late") / "operator"))
    members(world, **{FUND: 500 * USDC, "harbour": 2_000 * USDC})
    world.answer(f"{FUND}.4")
    sold(world, 7_000_000, "trade-1")
    agreed(world, LOSS)
    sold(world, 7_000_000, "trade-2")
    world.deposit(FUND, "USDC", LATE, "late")
    closed(world)
    yield world
    world.close()


def test_the_file_of_a_default_shows_what_arrived(late: World) -> None:
    file: Any = default_views.default_view(late.operator, FUND).evidence
    assert [event["type"] for event in file["events"]] == ["sale", "loss-agreement", "sale", "segregation", "close-out"]
    trust = TrustFile.parse(late.trust() | {"waterfall": RULES.hash()})
    report = verify_default(file, trust)
    assert report.closed is not None
    assert nobody_else_bore(report.closed)
    for wrong in (
        [event for event in file["events"] if event["type"] != "segregation"],
        [late.funds[FUND].identity.sign("segregation", one["body"]).to_json() if one["type"] == "segregation" else one
         for one in file["events"]],
    ):  # fmt: skip
        with pytest.raises(AttestationInvalid) as invalid:
            verify_default({**file, "events": wrong}, trust)
        assert invalid.value.step == "waterfall"


def test_a_released_history_shows_that_nothing_was_left_aside(
    late: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, released = Watch(late, tmp_path, monkeypatch, waterfall=RULES.hash()), history(late)
    watch.holds(released)
    items = released["entries"]
    (end,) = (at for at, item in enumerate(items) if item["entry"]["body"]["kind"] == K.DEFAULT_CLOSED.value)
    for name in ("private", "private_salt"):
        del items[end - 1][name]
    assert "'default closed', comes without the free collateral before it" in watch.refused(released)


def test_an_operator_that_leaves_it_aside_signs_against_itself(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold(world, 7_000_000, "trade-1")
    agreed(world, LOSS)
    sold(world, 7_000_000, "trade-2")
    world.deposit(FUND, "USDC", LATE, "late")
    capital(world)
    module = "atomic_margin.service.operator.accounts.defaults.segregate"
    nothing = "atomic_margin.service.protocol.account.defaults._require_nothing_left"
    with monkeypatch.context() as cheat:
        cheat.setattr(module, lambda session, operator, account: None)
        with pytest.raises(WrongCollateral, match="arrived since and is not segregated"):
            defaults.close_out(world.operator, FUND)
        cheat.setattr(nothing, lambda state, default, body: None)
        defaults.close_out(world.operator, FUND)
        released = history(world)
    assert world.held("harbour/fund") != {"USDC": 2_000 * USDC}
    watch = Watch(world, tmp_path, monkeypatch, waterfall=RULES.hash())
    reason, _ = watch.contradicted(released)
    assert "'default closed', is no legal step: USDC of the institution arrived since and is not segregated" in reason
