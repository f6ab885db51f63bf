"""The guarantee fund against the accounts of its members, as `operator replay` compares them."""

from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.documents.fields import now_text
from atomic_margin.service.errors import HistoryDiffers
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import defaults
from atomic_margin.service.operator.accounts.defaults import fund_of
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, FundRow
from atomic_margin.service.protocol.account.default_documents import CloseOut, FundContribution, FundDraw, borne_by

from .documents import FUND
from .test_defaults import BILL, FAIR, LOSS
from .waterfalls import RULES, USDC, agreed, capital, members, with_rules
from .world import World

pytestmark = pytest.mark.long

Open = Callable[[str], World]


def check(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        replay.check(session, world.key)


def invented(world: World, loss: int = 5_000 * USDC) -> CloseOut:
    """The end of a default that was none, of somebody that is nobody."""
    with world.operator.store.unit_of_work() as session:
        fund = fund_of(session, world.operator)
    others = fund.of(RULES.hash())
    borne = borne_by(RULES, "ghost", loss, {}, 0, others)
    body: dict[str, Any] = {
        "institution": "ghost", "operator": world.key, "settlement": "1a" * 32, "rules": RULES.canonical(),
        "agreement": "2b" * 32, "loss": str(loss), "margin": {}, "contribution": "0",
        "contributions": {name: str(quantity) for name, quantity in others.items()},
        "lines": [line.canonical() for line in borne.lines], "uncovered": str(borne.uncovered), "returned": {},
        "number": str(fund.number + 1), "previous": fund.head, "closed_at": now_text(),
    }  # fmt: skip
    return CloseOut.parse(body)


def drawn(world: World, closing: CloseOut) -> None:
    quantity = closing.drawn_from("harbour")
    said = {"institution": "harbour", "operator": world.key, "quantity": str(quantity)}
    draw = FundDraw.parse({**said, "close_out": closing.canonical()}).signed_by(world.operator.identity)
    with world.operator.store.unit_of_work() as session:
        entries.enter(session, world.operator.book, session.get_one(Account, "harbour"), draw)
        move = ledger.Move("USDC", quantity, ledger.fund("harbour"), ledger.LOSS)
        ledger.book(session, "invented", "close_out", [move])


def filed(world: World, number: int, body: CloseOut | FundContribution) -> None:
    signed = body.signed_by(world.operator.identity)
    with world.operator.store.unit_of_work() as session:
        session.add(FundRow(number=number, sha256=signed.body_hash(), document=signed.to_json()))


@pytest.fixture
def world(world_at: Open) -> World:
    world = with_rules(world_at("calm-done"))
    members(world, harbour=2_000 * USDC)
    check(world)
    return world


def test_nobody_is_drawn_on_for_a_default_that_was_none(world: World) -> None:
    """Ledger and entries agree; it is the fund that knows of no such close-out."""
    drawn(world, invented(world))
    assert world.held("harbour/fund") == {}
    with pytest.raises(HistoryDiffers, match=r"the fund's documents give 'harbour' 2000000000 under the rules .* 0"):
        check(world)


def test_a_close_out_ends_the_default_of_an_account(world: World) -> None:
    closing = invented(world)
    drawn(world, closing)
    filed(world, closing.number, closing)
    with pytest.raises(HistoryDiffers, match=r"close-out .* is in the fund's documents alone"):
        check(world)


def test_the_fund_is_one_chain(world: World) -> None:
    closing = invented(world)
    value = closing.canonical()
    assert isinstance(value, dict)
    filed(world, closing.number, CloseOut.parse({**value, "number": str(closing.number + 1)}))
    with pytest.raises(HistoryDiffers, match=r"the guarantee fund: document \d+ of the fund does not follow"):
        check(world)


def test_members_are_shown_the_close_out_that_there_was(world_at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who pays is shown another reason for the same amount."""
    world = with_rules(world_at("crash-open"))
    members(world, **{FUND: 500 * USDC, "harbour": 2_000 * USDC})
    world.answer(f"{FUND}.4")
    for number in (1, 2):
        defaults.realise(world.operator, FUND, BILL, 7_000_000, 7_000_000 * FAIR, f"trade-{number}", "a stage")
        if number == 1:
            agreed(world, LOSS)
    capital(world)
    parse = FundDraw.parse

    def other(cls: type[FundDraw], value: Any) -> FundDraw:
        return parse({**value, "close_out": {**value["close_out"], "closed_at": "2026-11-20T08:00:00Z"}})

    monkeypatch.setattr(FundDraw, "parse", classmethod(other))
    defaults.close_out(world.operator, FUND)
    monkeypatch.undo()
    with pytest.raises(HistoryDiffers, match=r"'harbour' was drawn on for close-out .*, which ended nothing"):
        check(world)
