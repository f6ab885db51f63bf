"""The advice of a settlement: what a verified breach moved, once, with the balances before and after."""

from typing import Literal

from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Identifier, ListOf, Part, Quantity
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.reports.call import recorded_step, step_of
from atomic_margin.service.reports.errors import NothingToReport
from atomic_margin.service.reports.facts import NO_BALANCES, AccountFacts, Step
from atomic_margin.service.reports.page import HELD, NUMBERS, Page, party_facts, refs_table, spaced, table, usd
from atomic_margin.service.reports.parts import (
    Amount,
    Held,
    JsonObject,
    PricesOf,
    Ref,
    Report,
    Usd,
    YesNo,
    as_object,
    held_of,
    prices_of,
    ref_of,
    total,
    whose,
)
from atomic_margin.service.reports.prices import Prices, cents
from atomic_margin.service.reports.reconciled import check_step


class Moved(Part):
    """One leg of a settlement.

    Attributes:
        asset: of which.
        quantity: in smallest units.
        amount: in whole units.
        source: where from.
        destination: where to.
        market_usd: value at the run's prices, before tiers and haircut.
    """

    asset: Identifier
    quantity: Quantity
    amount: Amount
    source: Literal["free", "posted"]
    destination: Literal["posted", "liquidation"]
    market_usd: Usd


class SettlementAdvice(Report):
    """Format ``atomic-margin/report-settlement/1``.

    Attributes:
        terms: hash of the account's terms.
        run_id: name of the run.
        run: hash of its record.
        answer: hash of the answer that proved the breach.
        settlement: hash of the settlement.
        settled: the entry that has it.
        prices: the tick of the run.
        kind: `margin_call`, or `liquidation`.
        top_up_usd: what had to be added.
        transfers: what moved.
        moved_usd: their sum at the run's prices, before tiers and haircut.
        free_known: whether free collateral is known; if not, balances are posted ones alone.
        before: balances just before.
        after: balances just after.
    """

    TAG = "report-settlement"
    format: Literal["atomic-margin/report-settlement/1"]
    terms: Hash
    run_id: Identifier
    run: Hash
    answer: Hash
    settlement: Hash
    settled: Ref
    prices: PricesOf
    kind: Literal["margin_call", "liquidation"]
    top_up_usd: Usd
    transfers: ListOf[Moved]
    moved_usd: Usd
    free_known: YesNo
    before: ListOf[Held]
    after: ListOf[Held]


def settlement_advice(facts: AccountFacts, prices: Prices, run_id: str) -> SettlementAdvice:
    """Return the advice of what settled a run.

    Raises:
        NothingToReport: there is no such run, or nothing was settled.
        NotReconciled: the settlement's transfers are not what the balances did.
        PricesMissing, HistoryUnusable: the run's tick is not given, or tick or schedule is another one.
    """
    recorded = recorded_step(facts, run_id)
    settled = step_of(facts, run_id, EventKind.MARGIN_CALLED, EventKind.LIQUIDATED)
    if settled is None:
        raise NothingToReport(f"nothing was settled for run {run_id}")
    check_step(facts, settled.entry.number)
    record, body = recorded.body, settled.body
    prices.require_schedule(record["schedule"])
    market = prices.market(int(record["price_sequence"]), record["tick"])
    transfers = [
        {name: move[name] for name in ("asset", "quantity", "source", "destination")}
        | {
            "amount": prices.amount(move["asset"], int(move["quantity"])),
            "market_usd": cents(prices.worth(market, move["asset"], int(move["quantity"])).market),
        }
        for move in body["transfers"]
    ]
    before = facts.before(settled.entry.number)
    return SettlementAdvice.parse(
        {
            "format": "atomic-margin/report-settlement/1",
            **whose(facts),
            "terms": settled.public.terms,
            "run_id": run_id,
            "run": body["run"],
            "answer": body["answer"],
            "settlement": settled.document_hash,
            "settled": ref_of(settled),
            "prices": prices_of(prices, int(record["price_sequence"]), record["tick"], market),
            "kind": body["kind"],
            "top_up_usd": body["top_up_usd"],
            "transfers": transfers,
            "moved_usd": total(transfers, "market_usd"),
            "free_known": "yes" if facts.whole else "no",
            "before": balances(prices, before, facts.whole),
            "after": balances(prices, settled, facts.whole),
        }
    )


def balances(prices: Prices, step: Step | None, whole: bool) -> list[JsonObject]:
    """Return the lines of what an account holds after a step; nothing before the first."""
    if step is None:
        return []
    free = (step.free or NO_BALANCES) if whole else NO_BALANCES
    return [*held_of(prices, "posted", step.public.posted), *held_of(prices, "free", free)]


MOVED = {
    "asset": "Asset",
    "amount": "Amount",
    "quantity": "Smallest units",
    "source": "From",
    "destination": "To",
    "market_usd": "Value",
}


def page(report: SettlementAdvice) -> Page:
    """Return the advice as it is shown."""
    said = as_object(report)
    facts = (
        *party_facts(said),
        ("Run", said["run_id"]),
        ("Settlement", said["settlement"]),
        ("Answer", said["answer"]),
        ("Prices", f"tick {said['prices']['sequence']}, as of {said['prices']['as_of']}"),
        ("Collateral schedule", said["prices"]["schedule"]),
        ("Kind", said["kind"].replace("_", " ")),
        ("Called", usd(said["top_up_usd"])),
        ("Moved, before haircut", usd(said["moved_usd"])),
    )
    tables = (
        table("What moved", MOVED, spaced(said["transfers"]), NUMBERS),
        table("Balances before", HELD, spaced(said["before"]), NUMBERS),
        table("Balances after", HELD, spaced(said["after"]), NUMBERS),
        refs_table([said["settled"]]),
    )
    return Page(
        "Settlement advice", f"{said['institution']}, run {said['run_id']}", facts, tables, free_note(report.free_known)
    )


def free_note(known: str) -> tuple[str, ...]:
    """Return the note about free collateral where it is not known."""
    if known == "yes":
        return ()
    return ("Free collateral is not in a released history: balances are those that are posted.",)
