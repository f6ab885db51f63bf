"""Reports of a real history: every number is found again in the documents, and what does not add up is no report."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.store.tables import Tick
from atomic_margin.service.protocol.account.entries import Salts
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.released import ReleasedHistory, release
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.reports import call, daily, response, settlement, weekly
from atomic_margin.service.reports.errors import HistoryUnusable, NothingToReport, NotReconciled, PricesMissing
from atomic_margin.service.reports.facts import AccountFacts, Move, read_entries, read_released
from atomic_margin.service.reports.html import html
from atomic_margin.service.reports.page import Page, Table
from atomic_margin.service.reports.parts import as_object
from atomic_margin.service.reports.prices import Prices
from atomic_margin.service.reports.reconciled import check_balances, check_step

from .documents import FUND, Json
from .world import World

CALM, FALL, CRASH = (f"{FUND}.{number}" for number in (1, 2, 4))
Read = tuple[AccountFacts, Prices]


def released(world: World) -> Json:
    """What the fund releases."""
    return release(world.entries(), Salts(world.operator.account(FUND).seed), world.key)


def ticks(world: World) -> list[Json]:
    """Every tick of the operator."""
    with world.operator.store.unit_of_work() as session:
        return [row.document for row in session.query(Tick).order_by(Tick.sequence)]


def prices(world: World) -> Prices:
    return Prices.of(world.terms.schedule, ticks(world), world.key)


def whole(world: World) -> AccountFacts:
    return read_entries(world.entries(), Salts(world.operator.account(FUND).seed), world.key)


@pytest.fixture(params=["whole", "released"])
def read(request: pytest.FixtureRequest, world_at: Callable[[str], World]) -> Read:
    """The story to its end, with every document, and as it is released."""
    world = world_at("crash-done")
    facts = (
        whole(world) if request.param == "whole" else read_released(ReleasedHistory.parse(released(world)), world.key)
    )
    return facts, prices(world)


def day_of(facts: AccountFacts) -> date:
    return facts.steps[-1].day


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def test_a_call_says_what_the_record_and_the_proof_say(read: Read) -> None:
    facts, at = read
    notice = call.call_notice(facts, at, FALL)
    (record,) = (step for step in facts.about_run(FALL) if step.kind == "run recorded")
    (breach,) = (step for step in facts.about_run(FALL) if step.kind == "breach proven")
    assert (notice.run, notice.deadline, notice.status) == (record.document_hash, record.body["deadline"], "proven")
    assert (notice.answer, notice.amount_usd) == (breach.document_hash, Decimal(breach.body["top_up_usd"]))
    assert {line.asset: str(line.quantity) for line in notice.posted} == record.body["posted"]
    market = at.market(2, record.body["tick"])
    for line in notice.posted:
        asset = at.asset(line.asset)
        price = market.collateral[line.asset]
        exact = line.quantity * price / 10**asset.decimals
        assert exact - Decimal("0.01") < line.market_usd <= exact
        assert exact * (1 - asset.haircut) - Decimal("0.01") < line.counted_usd <= exact * (1 - asset.haircut)


def test_a_covered_run_is_no_call_and_a_run_nobody_knows_is_none(read: Read) -> None:
    facts, at = read
    with pytest.raises(NothingToReport, match="no margin call"):
        call.call_notice(facts, at, CALM)
    with pytest.raises(NothingToReport, match=f"{CALM}, {FALL}, {CRASH}"):
        call.call_notice(facts, at, f"{FUND}.77")
    with pytest.raises(NothingToReport, match="nothing was settled"):
        settlement.settlement_advice(facts, at, CALM)
    covered = response.call_response(facts, at, CALM)
    assert (covered.outcome, covered.agreed_usd, covered.overdue) == ("covered", 0, "no")


def test_a_run_that_is_not_answered_has_no_amount(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-open")
    notice = call.call_notice(whole(world), prices(world), FALL)
    assert (notice.status, notice.amount_usd, notice.answer) == ("answer due", None, None)
    with pytest.raises(NothingToReport, match="not answered"):
        response.call_response(whole(world), prices(world), FALL)


def test_a_settlement_moves_what_the_ledger_has(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-done")
    advice = settlement.settlement_advice(whole(world), prices(world), FALL)
    assert advice.kind == "margin_call"
    for name, account in (("posted", ledger.posted(FUND)), ("free", ledger.free(FUND))):
        after = {line.asset: line.quantity for line in advice.after if line.balance == name}
        assert after == {asset: held for asset, held in world.held(account).items() if held}
    stored = world.settlements()[FALL]["body"]
    shown = [(one.asset, str(one.quantity), one.source, one.destination) for one in advice.transfers]
    assert shown == [tuple(one[name] for name in ("asset", "quantity", "source", "destination"))
                     for one in stored["transfers"]]  # fmt: skip
    assert advice.top_up_usd == Decimal(stored["top_up_usd"])
    assert advice.moved_usd == sum(one.market_usd for one in advice.transfers) >= advice.top_up_usd


def test_a_day_reconciles_and_names_every_entry(read: Read) -> None:
    facts, at = read
    said = daily.daily_statement(facts, at, day_of(facts))
    of_day = [step for step in facts.steps if step.day == day_of(facts)]
    assert [ref.entry for ref in said.events] == [step.sha256 for step in of_day]
    kept: dict[tuple[str, str], int] = {(one.balance, one.asset): one.quantity for one in said.opening}
    for move in said.movements:
        key = move.balance, move.asset
        kept[key] = kept.get(key, 0) + move.quantity
    assert {key: held for key, held in kept.items() if held} == {
        (one.balance, one.asset): one.quantity for one in said.closing
    }
    outcomes = [(run.run_id, run.outcome, run.settled) for run in said.runs]
    assert outcomes[-3:] == [
        (CALM, "covered", None), (FALL, "margin called", "margin_call"), (CRASH, "liquidated", "liquidation"),
    ]  # fmt: skip
    assert (said.owed.status, said.free_known) == ("in_default", "yes" if facts.whole else "no")
    assert said.closing == ()
    default = facts.steps[-1].public.default
    assert default is not None
    assert {line.asset: line.quantity for line in said.aside if line.where == "segregated"} == default.held
    after = daily.daily_statement(facts, at, day_of(facts) + timedelta(days=1))
    assert (after.opening, after.movements, after.events, after.closing) == (said.closing, (), (), said.closing)
    with pytest.raises(NothingToReport, match="its first one is of"):
        daily.daily_statement(facts, at, facts.steps[0].day - timedelta(days=1))


def test_a_day_of_a_run_a_minute_is_reported(world_at: Callable[[str], World]) -> None:
    world = world_at("calm-done")
    facts = whole(world)
    last = facts.steps[-1]
    more = [last._replace(entry=last.entry.changed({"number": len(facts.steps) + count})) for count in range(1, 4321)]
    long = replace(facts, steps=(*facts.steps, *more))
    said = daily.daily_statement(long, prices(world), day_of(facts))
    assert len(said.events) > 4320
    assert said.closing == daily.daily_statement(facts, prices(world), day_of(facts)).closing
    history = released(world)
    entries = history["entries"]
    assert len(ReleasedHistory.parse({**history, "entries": [*entries, *entries[-1:] * 4320]}).entries) > 4320


def test_what_is_owed_at_the_end_of_a_day(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-open")
    said = daily.daily_statement(whole(world), prices(world), day_of(whole(world)))
    assert (said.owed.run_id, said.owed.stage, said.owed.amount_usd) == (FALL, "awaiting", None)
    assert said.prices is not None
    assert said.prices.sequence == 2
    assert said.posted_counted_usd == sum(
        (line.counted_usd for line in said.holdings or () if line.balance == "posted"), Decimal(0)
    )


def test_every_hash_of_a_report_is_one_of_the_history(read: Read) -> None:
    facts, at = read
    known = {text for step in facts.steps for part in (step.entry, step.public) for text in texts(as_object(part))}
    known |= {text for step in facts.steps if step.document is not None for text in texts(step.document.to_json())}
    known |= {step.sha256 for step in facts.steps} | {step.document_hash or "" for step in facts.steps}
    known |= {tick.hash() for tick in at.ticks.values()} | {at.schedule.hash()}
    made = [
        call.call_notice(facts, at, FALL),
        response.call_response(facts, at, FALL),
        settlement.settlement_advice(facts, at, CRASH),
        daily.daily_statement(facts, at, day_of(facts)),
    ]
    for report in made:
        hashes = {text for text in texts(as_object(report)) if len(text) == 64}
        assert at.schedule.hash() in hashes
        assert hashes
        assert hashes - known == set()


def test_a_report_is_a_strict_document(read: Read) -> None:
    facts, at = read
    week = "{}-W{:02d}".format(*day_of(facts).isocalendar())
    for report in (
        call.call_notice(facts, at, FALL),
        response.call_response(facts, at, FALL),
        settlement.settlement_advice(facts, at, FALL),
        daily.daily_statement(facts, at, day_of(facts)),
        weekly.weekly_totals([facts], at, week),
    ):
        value = as_object(report)
        assert type(report).parse(json.loads(json.dumps(value))) == report
        assert value["format"] == f"atomic-margin/{report.TAG}/1"


def test_an_event_of_a_kind_nobody_knows_reconciles(world_at: Callable[[str], World]) -> None:
    """A document of another type moved the posting: the states say how much."""
    world = world_at("submitted")
    facts = whole(world)
    steps = []
    for step in facts.steps:
        document = step.document
        if step.entry.kind is EventKind.POSTED and document is not None:
            document = document.model_copy(update={"type": "substitution"})
        steps.append(step._replace(document=document))
    changed = AccountFacts(facts.operator, facts.institution, facts.account, facts.log, tuple(steps), True)
    said = daily.daily_statement(changed, prices(world), day_of(facts))
    closing = {(one.balance, one.asset): one.quantity for one in said.closing}
    assert closing["posted", "USDC"] == world.held(ledger.posted(FUND))["USDC"]


def test_a_document_that_says_another_quantity_than_moved_is_named(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-done")
    facts = whole(world)
    number = next(step.entry.number for step in facts.steps if step.kind == "margin called")
    step = facts.steps[number - 1]
    assert step.document is not None
    body = dict(step.document.body)
    body["transfers"] = [{**dict(body["transfers"][0]), "quantity": "1"}, *body["transfers"][1:]]
    wrong = step._replace(document=step.document.model_copy(update={"body": body}))
    steps = (*facts.steps[: number - 1], wrong, *facts.steps[number:])
    changed = AccountFacts(facts.operator, facts.institution, facts.account, facts.log, steps, True)
    with pytest.raises(NotReconciled, match=f"entry {number} of {FUND}, 'margin called'"):
        check_step(changed, number)
    with pytest.raises(NotReconciled):
        daily.daily_statement(changed, prices(world), day_of(facts))
    with pytest.raises(NotReconciled):
        settlement.settlement_advice(changed, prices(world), FALL)


def test_balances_that_do_not_add_up_are_named(world_at: Callable[[str], World]) -> None:
    facts = whole(world_at("submitted"))
    moves = [move for step in facts.steps for move in facts.moves(step.entry.number)]
    check_balances(None, moves, facts.steps[-1], True)
    with pytest.raises(NotReconciled, match="USDC comes to"):
        check_balances(None, [move for move in moves if move.asset != "USDC"], facts.steps[-1], True)
    with pytest.raises(NotReconciled, match="posted XYZ comes to -1"):
        check_balances(None, [*moves, Move("posted", "XYZ", -1)], facts.steps[-1], True)


def test_a_week_adds_up_over_accounts_and_classes(world_at: Callable[[str], World]) -> None:
    world = world_at("calm-done")
    facts, at = whole(world), prices(world)
    week = "{}-W{:02d}".format(*day_of(facts).isocalendar())
    said = weekly.weekly_totals([facts], at, week, {FUND: "futures"})
    assert {line.account_class for line in said.totals} == {"futures"}
    for line in said.totals:
        held = [world.held(name).get(line.asset, 0) for name in (ledger.posted(FUND), ledger.free(FUND))]
        assert (line.quantity, line.posted) == (sum(held), held[0])
    sums = {one.category: one.market_usd for one in said.categories}
    assert sums["payment stablecoin"] == next(line.market_usd for line in said.totals if line.asset == "USDC")
    assert said.total_usd == sum(line.market_usd for line in said.totals if line.category != "cash")
    assert said.first <= day_of(facts).isoformat() <= said.last
    assert weekly.weekly_totals([facts], at, week).totals[0].account_class == "unclassified"
    with pytest.raises(HistoryUnusable, match="twice"):
        weekly.weekly_totals([facts, facts], at, week)
    for text in ("2026-48", "2026-W54", "2026-W4", "W48"):
        with pytest.raises(NothingToReport, match="ISO 8601"):
            weekly.weekly_totals([facts], at, text)


def test_a_liquidation_is_among_the_issues_of_the_week(read: Read) -> None:
    facts, at = read
    said = weekly.weekly_totals([facts], at, "{}-W{:02d}".format(*day_of(facts).isocalendar()))
    assert [one.by.kind for one in said.issues] == ["liquidated"]
    day = daily.daily_statement(facts, at, day_of(facts))
    assert [(FUND, one.asset, one.market_usd) for one in day.aside] == [
        (one.institution, one.asset, one.market_usd) for one in said.aside
    ]
    assert (said.totals, said.total_usd) == ((), 0)


def test_prices_are_the_ones_that_the_history_names(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-done")
    facts, given = whole(world), ticks(world)
    none = Prices.of(world.terms.schedule, [], world.key)
    with pytest.raises(PricesMissing, match="tick 2"):
        call.call_notice(facts, none, FALL)
    with pytest.raises(PricesMissing, match="tick 2"):
        daily.daily_statement(facts, none, day_of(facts))
    forged = SignedDocument.parse(given[1])
    body = json.loads(json.dumps(dict(forged.body)))
    body["market"]["collateral"]["USDC"] = "2"
    mine = Identity.generate()
    with pytest.raises(HistoryUnusable, match="none of this operator"):
        Prices.of(world.terms.schedule, [mine.sign("tick", body).to_json()], world.key)
    again = world.operator.identity.sign("tick", body).to_json()
    with pytest.raises(HistoryUnusable, match="another one than the history names"):
        call.call_notice(facts, Prices.of(world.terms.schedule, [again], world.key), FALL)
    with pytest.raises(HistoryUnusable, match="two ticks"):
        Prices.of(world.terms.schedule, [given[1], again], world.key)


def test_the_schedule_is_the_one_that_runs_name(read: Read) -> None:
    facts, at = read
    assets = [asset.canonical() for asset in at.schedule.assets]
    other = CollateralSchedule.parse({**as_object(at.schedule), "assets": [{**assets[0], "haircut": "0"}, *assets[1:]]})
    wrong = Prices(other, at.ticks)
    for make in (
        lambda: call.call_notice(facts, wrong, FALL),
        lambda: response.call_response(facts, wrong, FALL),
        lambda: settlement.settlement_advice(facts, wrong, FALL),
        lambda: daily.daily_statement(facts, wrong, day_of(facts)),
        lambda: weekly.weekly_totals([facts], wrong, "{}-W{:02d}".format(*day_of(facts).isocalendar())),
    ):
        with pytest.raises(HistoryUnusable, match="another one than the account's runs name"):
            make()


def test_a_history_that_was_changed_is_none(world_at: Callable[[str], World]) -> None:
    world = world_at("fall-done")
    history = released(world)

    def refused(change: Callable[[list[Json]], None], match: str, operator: str = world.key) -> None:
        value = json.loads(json.dumps(history))
        change(value["entries"])
        with pytest.raises(HistoryUnusable, match=match):
            read_released(ReleasedHistory.parse(value), operator)

    refused(lambda entries: entries.pop(3), "not the one that follows")
    refused(lambda entries: entries.clear(), "no entry")
    refused(lambda entries: entries[5]["public"]["posted"].update({"USDC": "9"}), "the public part of entry 6")
    refused(lambda entries: entries[3]["document"].update({"signature": "00" * 64}), "the document of entry 4")
    refused(lambda entries: entries[4]["entry"]["body"].update({"kind": "withdrawn"}), "none of this operator")
    refused(lambda entries: None, "none of this operator", Identity.generate().public_key)


class Shown(HTMLParser):
    """What a browser makes of a page: its elements and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


HOSTILE = '<script>alert("1")</script>&amp;\'"><img src=x onerror=y>'


def test_a_page_escapes_whatever_it_shows() -> None:
    table = Table(HOSTILE, (HOSTILE, "b"), ((HOSTILE, HOSTILE),), frozenset({1}))
    empty = Table("c", ("d",), (), empty=HOSTILE)
    page = Shown()
    page.feed(html(Page(HOSTILE, HOSTILE, ((HOSTILE, HOSTILE),), (table, empty), (HOSTILE,))))
    names = [name for name, _ in page.elements]
    assert not {"script", "img"} & set(names)
    assert page.texts.count(HOSTILE) == 10
    assert f"{HOSTILE}: {HOSTILE}" in page.texts


def test_pages_are_whole_and_tables_have_captions_and_headers(read: Read) -> None:
    facts, at = read
    text = html(daily.page(daily.daily_statement(facts, at, day_of(facts))))
    page = Shown()
    page.feed(text)
    names = [name for name, _ in page.elements]
    assert names.count("table") == names.count("caption") == names.count("thead") == 7
    assert all(attributes.get("scope") == "col" for name, attributes in page.elements if name == "th")
    assert ("html", {"lang": "en"}) in page.elements
    assert not [name for name, attributes in page.elements if {"src", "href"} & attributes.keys()]
    assert "@media print" in text
    for step in facts.steps:
        if step.document_hash is not None and step.day == day_of(facts):
            assert step.document_hash in page.texts
