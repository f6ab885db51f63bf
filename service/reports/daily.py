"""The statement of one day: balances when it opened and closed, all that moved, runs, calls and settlements, and worth.

A day is one of UTC, by the operator's time in the entries. Balances reconcile or there is no statement (`reconciled`).
"""

from datetime import date, timedelta
from typing import Literal

from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Identifier, Label, ListOf, LongListOf, Part, Quantity
from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.state import NOTHING
from atomic_margin.service.reports.errors import NothingToReport
from atomic_margin.service.reports.facts import NO_BALANCES, AccountFacts, Move, Step
from atomic_margin.service.reports.page import HELD, NUMBERS, VALUED, Page, party_facts, refs_table, spaced, table, usd
from atomic_margin.service.reports.parts import (
    Amount,
    BalanceName,
    Change,
    Held,
    JsonObject,
    PricesOf,
    Ref,
    Report,
    Usd,
    Valued,
    YesNo,
    as_object,
    counted,
    market_value,
    prices_of,
    ref_of,
    valued_of,
    whose,
)
from atomic_margin.service.reports.prices import Prices, cents
from atomic_margin.service.reports.reconciled import check_balances, check_step
from atomic_margin.service.reports.settlement import balances, free_note


class Movement(Part):
    """What one entry changed in one balance.

    Attributes:
        by: the entry.
        balance: `posted` or `free`.
        asset: of which.
        quantity: change in smallest units.
        amount: the same in whole units.
    """

    by: Ref
    balance: BalanceName
    asset: Identifier
    quantity: Change
    amount: Amount


class RunOfDay(Part):
    """A run that the day's entries name.

    Attributes:
        run_id: its name.
        price_sequence: number of its tick; absent where no document of the day says it.
        outcome: the last that happened about it by the end of the day.
        amount_usd: what was called, if a breach was proven by then.
        settled: `margin_call` or `liquidation`, if it was settled by then.
    """

    run_id: Identifier
    price_sequence: Label | None = None
    outcome: Label
    amount_usd: Usd | None = None
    settled: Label | None = None


class Owed(Part):
    """What is not settled at the end of the day.

    Attributes:
        status: of the account.
        run_id: the open run, if one is.
        stage: how far that is.
        book: hash of the commitments that have to be proven covered, because an answer did not come in time.
        amount_usd: of a breach that is proven and not settled.
    """

    status: Label
    run_id: Identifier | None = None
    stage: Label | None = None
    book: Hash | None = None
    amount_usd: Usd | None = None


class Aside(Part):
    """What the operator holds for an account beside its balances.

    Attributes:
        where: `segregated` by a liquidation, in the `guarantee fund`, or a `promised return` that no cycle has netted.
        asset: of which.
        quantity: in smallest units.
        amount: in whole units.
        market_usd: before tiers and haircut, at the report's prices; absent before there were some.
    """

    where: Literal["segregated", "guarantee fund", "promised return"]
    asset: Identifier
    quantity: Quantity
    amount: Amount
    market_usd: Usd | None = None


class DailyStatement(Report):
    """Format ``atomic-margin/report-daily/1``.

    Attributes:
        day: in UTC.
        free_known: whether free collateral is known; if not, balances are posted ones alone.
        opening: balances when it began.
        movements: all changes, in order.
        closing: balances when it ended; opening ones and movements come to these.
        events: every entry of the day.
        runs: that these name.
        owed: what is not settled when it ends.
        aside: what the operator holds for the account beside its balances when it ends; promised returns where free
            collateral is known.
        prices: the last tick of the day, which closing balances are valued at; absent before there were prices.
        holdings: closing balances with their worth; absent likewise.
        posted_market_usd: posted collateral before tiers and haircut.
        posted_counted_usd: posted collateral after both, in no scenario.
    """

    TAG = "report-daily"
    format: Literal["atomic-margin/report-daily/1"]
    day: Label
    free_known: YesNo
    opening: ListOf[Held]
    movements: LongListOf[Movement]
    closing: ListOf[Held]
    events: LongListOf[Ref]
    runs: LongListOf[RunOfDay]
    owed: Owed
    aside: ListOf[Aside]
    prices: PricesOf | None = None
    holdings: ListOf[Valued] | None = None
    posted_market_usd: Usd | None = None
    posted_counted_usd: Usd | None = None


def daily_statement(facts: AccountFacts, prices: Prices, day: date) -> DailyStatement:
    """Return the statement of a day.

    Raises:
        NothingToReport: the account has no entry by then, or the history ends before that day.
        NotReconciled: balances do not add up.
        PricesMissing, HistoryUnusable: the tick that the day ends with is not given, or is another one.
    """
    opening, closing = facts.until(day - timedelta(days=1)), facts.until(day)
    if closing is None:
        first = facts.steps[0].day
        raise NothingToReport(f"{facts.institution} has no entry by the end of {day}; its first one is of {first}")
    of_day = facts.of_day(day)
    moves = [(step, move) for step in of_day for move in facts.moves(step.entry.number)]
    for step in of_day:
        check_step(facts, step.entry.number)
    check_balances(opening, [move for _, move in moves], closing, facts.whole)
    said: JsonObject = {
        "format": "atomic-margin/report-daily/1",
        **whose(facts),
        "day": day.isoformat(),
        "free_known": "yes" if facts.whole else "no",
        "opening": balances(prices, opening, facts.whole),
        "movements": [_movement(prices, step, move) for step, move in moves],
        "closing": balances(prices, closing, facts.whole),
        "events": [ref_of(step) for step in of_day],
        "runs": _runs(facts, of_day, closing),
        "owed": owed_of(facts, closing),
    }
    tick = closing_tick(facts, prices, closing, day)
    market = None if tick is None else prices.market(int(tick["sequence"]), tick["tick"])
    said["aside"] = aside_of(prices, closing, market)
    return DailyStatement.parse(said | _worth(facts, prices, closing, tick, market))


def _movement(prices: Prices, step: Step, move: Move) -> JsonObject:
    amount = prices.amount(move.asset, move.quantity)
    return {
        "by": ref_of(step),
        "balance": move.balance,
        "asset": move.asset,
        "quantity": str(move.quantity),
        "amount": amount,
    }


def _runs(facts: AccountFacts, of_day: tuple[Step, ...], closing: Step) -> list[JsonObject]:
    named: dict[str, list[Step]] = {step.body["run_id"]: [] for step in of_day if "run_id" in step.body}
    for step in facts.through(closing):
        named.get(step.body.get("run_id", ""), []).append(step)
    found = []
    for run_id, about in named.items():
        line = {"run_id": run_id, "outcome": about[-1].kind}
        for step in about:
            body = step.body
            if "price_sequence" in body:
                line["price_sequence"] = body["price_sequence"]
            if step.entry.kind in (EventKind.BREACH_PROVEN, EventKind.OPENED_IN_BREACH):
                line["amount_usd"] = body["top_up_usd"]
            if step.entry.kind in (EventKind.MARGIN_CALLED, EventKind.LIQUIDATED):
                line["settled"] = body["kind"]
        found.append(line)
    return found


def owed_of(facts: AccountFacts, closing: Step) -> JsonObject:
    """Return what is not settled after a step."""
    public = closing.public
    said: JsonObject = {"status": str(public.status)}
    if public.owed is not None:
        said["book"] = public.owed
    run = public.run
    if run is not None:
        said |= {"run_id": run.run_id, "stage": run.stage}
        for step in facts.through(closing):
            if run.answer is not None and step.document_hash == run.answer:
                said["amount_usd"] = step.body["top_up_usd"]
    return said


def closing_tick(facts: AccountFacts, prices: Prices, closing: Step, day: date) -> JsonObject | None:
    """Return the tick that a day's closing balances are valued at; None before there were prices.

    It is the newest one given whose prices are of that day or before, and none older than the last entry names.

    Raises:
        PricesMissing, HistoryUnusable: the tick that the last entry names is not given, or is another one; or the
            schedule is, by the last run.
    """
    newest = closing.entry
    if newest.market == NOTHING:
        return None
    for step in reversed(facts.through(closing)):
        if step.entry.kind is EventKind.RUN_RECORDED:
            prices.require_schedule(step.body["schedule"])
            break
    later = prices.last_of(day, newest.market_sequence)
    if later is None or later.market is None or later.sequence == newest.market_sequence:
        named = prices.market(newest.market_sequence, newest.market)
        return prices_of(prices, newest.market_sequence, newest.market, named)
    return prices_of(prices, later.sequence, later.hash(), later.market)


def aside_of(prices: Prices, closing: Step, market: Market | None) -> list[JsonObject]:
    """Return what the operator holds for an account beside its balances after a step, at some prices if there are."""
    default, fund = closing.public.default, closing.public.fund
    found = [] if default is None else [("segregated", asset, held) for asset, held in default.held.items()]
    if fund is not None and fund.quantity:
        found.append(("guarantee fund", fund.asset, fund.quantity))
    netting = None if closing.private is None else closing.private.netting
    pending = () if netting is None else netting.pending
    found += [("promised return", line.asset, line.quantity) for line in pending if line.direction == "return"]
    return [
        {"where": where, "asset": asset, "quantity": str(quantity), "amount": prices.amount(asset, quantity)}
        | ({} if market is None else {"market_usd": cents(prices.worth(market, asset, quantity).market)})
        for where, asset, quantity in found
    ]


def _worth(
    facts: AccountFacts, prices: Prices, closing: Step, tick: JsonObject | None, market: Market | None
) -> JsonObject:
    if tick is None or market is None:
        return {}
    posted, free = closing.public.posted, (closing.free or NO_BALANCES) if facts.whole else NO_BALANCES
    return {
        "prices": tick,
        "holdings": [*valued_of(prices, market, "posted", posted), *valued_of(prices, market, "free", free)],
        "posted_market_usd": market_value(prices, market, posted),
        "posted_counted_usd": counted(prices, market, posted),
    }


MOVEMENTS = {
    "number": "Entry",
    "at": "Time (UTC)",
    "kind": "By what",
    "balance": "Balance",
    "asset": "Asset",
    "amount": "Change",
    "document": "Document",
}
ASIDE = {"where": "Where", "asset": "Asset", "amount": "Amount", "quantity": "Smallest units", "market_usd": "Value"}
RUNS = {
    "run_id": "Run",
    "price_sequence": "Tick",
    "outcome": "By the end of the day",
    "amount_usd": "Called",
    "settled": "Settled as",
}


def page(report: DailyStatement) -> Page:
    """Return the statement as it is shown."""
    said = as_object(report)
    owed, prices = said["owed"], said.get("prices")
    at = "no prices yet" if prices is None else f"tick {prices['sequence']}, as of {prices['as_of']}"
    facts = (
        *party_facts(said),
        ("Day (UTC)", said["day"]),
        ("Account", owed["status"]),
        ("Open run", f"{owed['run_id']} ({owed['stage']})" if "run_id" in owed else "none"),
        ("Book owed", owed.get("book", "none")),
        ("Called, not settled", usd(owed["amount_usd"]) if "amount_usd" in owed else "none"),
        ("Values at", at),
        *([] if prices is None else [("Collateral schedule", prices["schedule"])]),
        ("Posted, before haircut", usd(said.get("posted_market_usd"))),
        ("Posted, after haircut", usd(said.get("posted_counted_usd"))),
    )
    movements = [line["by"] | line for line in said["movements"]]
    tables = (
        table("Opening balances", HELD, spaced(said["opening"]), NUMBERS),
        table("Movements", MOVEMENTS, spaced(movements), NUMBERS + " number"),
        table("Closing balances", HELD, spaced(said["closing"]), NUMBERS),
        table("Closing balances at the last prices", VALUED, spaced(said.get("holdings", [])), NUMBERS),
        table("Held beside these balances", ASIDE, spaced(said["aside"]), NUMBERS),
        table("Runs, calls and settlements", RUNS, spaced(said["runs"]), "price_sequence amount_usd"),
        refs_table(said["events"], "Every entry of the day"),
    )
    return Page("Daily statement", f"{said['institution']}, {said['day']}", facts, tables, free_note(report.free_known))
