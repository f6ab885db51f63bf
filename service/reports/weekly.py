"""Totals of one week over the accounts of an operator: digital assets held, by class of account and by asset.

Made for the weekly report that CFTC staff letter 25-40 (December 2025) asks of futures commission merchants that take
digital assets as margin; what that letter wants exactly, whoever files it has to read there (docs/reports.md). A week
is one of ISO 8601, Monday to Sunday, in UTC; all accounts are valued at one tick, the last of the week.

What class an account is of (futures, cleared swaps, 30.7) is no part of the protocol: whoever asks for the report says
it. What happened in the week that may be a significant issue is listed by its entries; whether it is one is for people.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

from atomic_margin.documents.fields import Counter, Hash, PublicKey
from atomic_margin.documents.strict import Document, Identifier, Label, ListOf, LongListOf, Part, Quantity
from atomic_margin.margin.market.market import Market
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.reports.daily import ASIDE, Aside, aside_of, closing_tick
from atomic_margin.service.reports.errors import HistoryUnusable, NothingToReport
from atomic_margin.service.reports.facts import NO_BALANCES, AccountFacts, Step
from atomic_margin.service.reports.page import NUMBERS, Page, spaced, table, usd
from atomic_margin.service.reports.parts import (
    Amount,
    JsonObject,
    PricesOf,
    Ref,
    Usd,
    YesNo,
    as_object,
    ref_of,
    total,
    valued_of,
)
from atomic_margin.service.reports.prices import Prices
from atomic_margin.service.reports.reconciled import check_balances, check_step
from atomic_margin.service.reports.settlement import free_note

UNCLASSIFIED = "unclassified"
CATEGORIES = {
    "crypto": "digital asset",
    "stablecoin": "payment stablecoin",
    "treasury_bill": "tokenised security",
    "money_market_fund": "tokenised security",
    "repo": "repo leg",
    "cash": "cash",
}
"""What every kind of asset is called here. That bills and fund shares are tokenised is the operator's word."""
MAX_ACCOUNTS = 1024
ISSUES = frozenset(
    {
        EventKind.RUN_VOID,
        EventKind.PROOF_OVERDUE,
        EventKind.ANSWER_OVERDUE,
        EventKind.OPENED_IN_BREACH,
        EventKind.LIQUIDATED,
        EventKind.BOOK_GIVEN_UP,
        EventKind.DISPUTED,
        EventKind.DISPUTE_LAPSED,
        EventKind.HALTED,
        EventKind.DEFAULT_CLOSED,
        EventKind.FUND_DRAWN,
    }
)
"""Events that are listed as possible issues."""


class AccountOfWeek(Part):
    """One account at the end of the week.

    Attributes:
        institution: whose.
        account: pseudonym in the log.
        account_class: as whoever asked says.
        status: of the account.
        last: its last entry by then.
    """

    institution: Identifier
    account: Hash
    account_class: Label
    status: Label
    last: Ref


class TotalOfWeek(Part):
    """What the accounts of one class hold of one asset at the end of the week.

    Attributes:
        account_class: of accounts.
        category: `digital asset`, `payment stablecoin`, `tokenised security`, `repo leg` or `cash`.
        asset: of the schedule.
        accounts: how many hold some.
        quantity: in smallest units, posted and, where that is known, free.
        amount: in whole units.
        posted: of that, what is posted.
        price_usd: of one whole unit; of what ends no more than it pays.
        market_usd: before tiers and haircut.
        haircut: of the schedule; by tenor of what ends, that of its cash once it has matured.
        counted_usd: after tiers, which look at each account alone, and haircut.
    """

    account_class: Label
    category: Label
    asset: Identifier
    accounts: Counter
    quantity: Quantity
    amount: Amount
    posted: Quantity
    price_usd: Amount
    market_usd: Usd
    haircut: Amount
    counted_usd: Usd


class CategoryOfWeek(Part):
    """The total of one category in one class of accounts, USD before tiers and haircut."""

    account_class: Label
    category: Label
    market_usd: Usd


class AsideOfWeek(Aside):
    """What the operator holds for an account beside its balances at the end of the week."""

    institution: Identifier


class IssueOfWeek(Part):
    """An entry of the week that may be, or come of, an operational issue."""

    institution: Identifier
    by: Ref


class WeeklyTotals(Document):
    """Format ``atomic-margin/report-weekly/1``.

    Attributes:
        operator: public key.
        week: of ISO 8601.
        first: its Monday.
        last: its Sunday.
        free_known: whether free collateral of all accounts is known; if not, totals are of posted collateral alone.
        prices: the last tick of the week.
        accounts: all that had an entry by its end.
        totals: by class, category and asset.
        categories: their sums.
        total_usd: all of it but cash, before tiers and haircut.
        aside: what is held for accounts beside their balances, such as what a liquidation segregated; in no total.
        issues: entries to look at.
    """

    TAG = "report-weekly"
    format: Literal["atomic-margin/report-weekly/1"]
    operator: PublicKey
    week: Label
    first: Label
    last: Label
    free_known: YesNo
    prices: PricesOf
    accounts: ListOf[AccountOfWeek]
    totals: ListOf[TotalOfWeek]
    categories: ListOf[CategoryOfWeek]
    total_usd: Usd
    aside: LongListOf[AsideOfWeek]
    issues: LongListOf[IssueOfWeek]


def week_of(text: str) -> tuple[date, date]:
    """Return Monday and Sunday of a week such as 2026-W48.

    Raises:
        NothingToReport: it is none.
    """
    year, found, week = text.partition("-W")
    try:
        if not found or len(year) != 4 or len(week) != 2:
            raise ValueError(text)
        monday = date.fromisocalendar(int(year), int(week), 1)
        return monday, monday + timedelta(days=6)
    except (ValueError, OverflowError):
        raise NothingToReport(f"write a week of ISO 8601 such as 2026-W48, got {text!r}") from None


def weekly_totals(
    accounts: Sequence[AccountFacts], prices: Prices, week: str, classes: Mapping[str, str] | None = None
) -> WeeklyTotals:
    """Return the totals of a week.

    Args:
        accounts: of one operator.
        prices: schedule and ticks, the last of the week among them.
        week: such as 2026-W48.
        classes: class of each account, by institution; who is not named is unclassified.

    Raises:
        NothingToReport: no account has an entry by the end of the week, or none had prices.
        NotReconciled: balances do not add up.
        HistoryUnusable: the histories are of several operators, or an account is there twice.
        PricesMissing: the last tick is not given.
    """
    first, last = week_of(week)
    _check_accounts(accounts)
    closing = [(facts, step) for facts in accounts if (step := facts.until(last)) is not None]
    ticks = [tick for facts, step in closing if (tick := closing_tick(facts, prices, step, last)) is not None]
    if not ticks:
        raise NothingToReport(f"no account had prices by the end of {week}, {last}")
    tick = max(ticks, key=lambda one: int(one["sequence"]))
    whole = all(facts.whole for facts, _ in closing)
    lines: list[JsonObject] = []
    aside: list[JsonObject] = []
    issues = []
    market = prices.market(int(tick["sequence"]), tick["tick"])
    for facts, step in closing:
        aside += [{"institution": facts.institution} | line for line in aside_of(prices, step, market)]
        issues += _checked(facts, first, last)
        account_class = (classes or {}).get(facts.institution, UNCLASSIFIED)
        lines += [line | {"account_class": account_class} for line in _lines(step, prices, market, whole)]
    totals = _totals(lines, prices)
    categories = _categories(totals)
    return WeeklyTotals.parse(
        {
            "format": "atomic-margin/report-weekly/1",
            "operator": closing[0][0].operator,
            "week": week,
            "first": first.isoformat(),
            "last": last.isoformat(),
            "free_known": "yes" if whole else "no",
            "prices": tick,
            "accounts": [_account(facts, step, classes or {}) for facts, step in closing],
            "totals": totals,
            "categories": categories,
            "total_usd": total([one for one in categories if one["category"] != "cash"], "market_usd"),
            "aside": aside,
            "issues": issues,
        }
    )


def _check_accounts(accounts: Sequence[AccountFacts]) -> None:
    if len({facts.operator for facts in accounts}) > 1:
        raise HistoryUnusable("the histories are of several operators; totals are of one")
    if len({facts.institution for facts in accounts}) != len(accounts):
        raise HistoryUnusable("an account is there twice: give the history of each once")
    if len(accounts) > MAX_ACCOUNTS:
        raise HistoryUnusable(f"at most {MAX_ACCOUNTS} accounts go into one report, got {len(accounts)}")


def _checked(facts: AccountFacts, first: date, last: date) -> list[JsonObject]:
    """Reconcile the week of one account, and return what in it may be an issue."""
    of_week = [step for step in facts.steps if first <= step.day <= last]
    for step in of_week:
        check_step(facts, step.entry.number)
    moves = [move for step in of_week for move in facts.moves(step.entry.number)]
    check_balances(facts.until(first - timedelta(days=1)), moves, facts.until(last), facts.whole)
    return [{"institution": facts.institution, "by": ref_of(step)} for step in of_week if step.entry.kind in ISSUES]


def _account(facts: AccountFacts, step: Step, classes: Mapping[str, str]) -> JsonObject:
    return {
        "institution": facts.institution,
        "account": facts.account,
        "account_class": classes.get(facts.institution, UNCLASSIFIED),
        "status": str(step.public.status),
        "last": ref_of(step),
    }


def _lines(step: Step, prices: Prices, market: Market, whole: bool) -> list[JsonObject]:
    """Return what an account holds of each asset, posted and free together where free collateral is known."""
    posted, free = step.public.posted, (step.free or NO_BALANCES) if whole else NO_BALANCES
    held = {asset: posted.get(asset, 0) + free.get(asset, 0) for asset in {*posted, *free}}
    return [line | {"posted": posted.get(line["asset"], 0)} for line in valued_of(prices, market, "posted", held)]


def _totals(lines: Sequence[JsonObject], prices: Prices) -> list[JsonObject]:
    groups: dict[tuple[str, str, str], list[JsonObject]] = {}
    for line in lines:
        key = line["account_class"], CATEGORIES[line["kind"]], line["asset"]
        groups.setdefault(key, []).append(line)
    found = []
    for (account_class, category, asset), members in sorted(groups.items()):
        quantity = sum(int(line["quantity"]) for line in members)
        found.append(
            {
                "account_class": account_class,
                "category": category,
                "asset": asset,
                "accounts": str(len(members)),
                "quantity": str(quantity),
                "amount": prices.amount(asset, quantity),
                "posted": str(sum(line["posted"] for line in members)),
                "price_usd": members[0]["price_usd"],
                "market_usd": total(members, "market_usd"),
                "haircut": members[0]["haircut"],
                "counted_usd": total(members, "counted_usd"),
            }
        )
    return found


def _categories(totals: Sequence[JsonObject]) -> list[JsonObject]:
    keys = sorted({(line["account_class"], line["category"]) for line in totals})
    return [
        {
            "account_class": account_class,
            "category": category,
            "market_usd": total(
                [one for one in totals if (one["account_class"], one["category"]) == (account_class, category)],
                "market_usd",
            ),
        }
        for account_class, category in keys
    ]


TOTALS = {
    "account_class": "Class",
    "category": "Type",
    "asset": "Asset",
    "accounts": "Accounts",
    "amount": "Amount",
    "price_usd": "Price",
    "market_usd": "Value",
    "haircut": "Haircut",
    "counted_usd": "After haircut",
}
CLASSES = {"account_class": "Class", "category": "Type", "market_usd": "Value"}
ACCOUNTS = {
    "institution": "Institution",
    "account_class": "Class",
    "status": "Status",
    "number": "Last entry",
    "at": "Time",
}
ISSUE = {"institution": "Institution", "number": "Entry", "at": "Time (UTC)", "kind": "What happened"}
NOTES = (
    "Made for the weekly report of CFTC staff letter 25-40; the firm that files it decides what belongs in it. Classes "
    "of accounts, and that bills and fund shares are tokenised, are that firm's word.",
    "Issues are entries that may be one, or come of one. A notice of a significant operational issue is written by "
    "people.",
)


def page(report: WeeklyTotals) -> Page:
    """Return the totals as they are shown."""
    said = as_object(report)
    prices = said["prices"]
    facts = (
        ("Operator", said["operator"]),
        ("Week", f"{said['week']}, {said['first']} to {said['last']} (UTC)"),
        ("Values at", f"tick {prices['sequence']}, as of {prices['as_of']}"),
        ("Collateral schedule", prices["schedule"]),
        ("Accounts", str(len(said["accounts"]))),
        ("All but cash, before haircut", usd(said["total_usd"])),
    )
    accounts = [line["last"] | line for line in said["accounts"]]
    issues = [line["by"] | line for line in said["issues"]]
    tables = (
        table("Held at the end of the week", TOTALS, spaced(said["totals"]), NUMBERS + " accounts"),
        table("By type", CLASSES, spaced(said["categories"]), NUMBERS),
        table(
            "Held beside balances, in no total", {"institution": "Institution", **ASIDE}, spaced(said["aside"]), NUMBERS
        ),
        table("Accounts", ACCOUNTS, spaced(accounts), "number"),
        table("Entries that may be, or come of, an operational issue", ISSUE, spaced(issues), "number"),
    )
    return Page("Weekly totals", f"{said['week']}", facts, tables, (*free_note(report.free_known), *NOTES))
