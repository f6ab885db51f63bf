"""What several reports have: whose they are, the entry that something stands in, and holdings with their worth."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

from atomic_margin.documents.fields import Counter, Hash, PublicKey, Time
from atomic_margin.documents.strict import (
    MAX_QUANTITY,
    Document,
    Identifier,
    Label,
    Part,
    Quantity,
    format_instant,
    in_range,
)
from atomic_margin.documents.strict import integer_in as whole_in
from atomic_margin.margin.market.market import Market
from atomic_margin.service.reports.facts import AccountFacts, Balances, Move, Step
from atomic_margin.service.reports.prices import Prices, cents

Usd = Annotated[Decimal, in_range("0", "1000000000000000000")]
"""USD, in cents."""
Amount = Annotated[Decimal, in_range("-1000000000000000000000000", "1000000000000000000000000")]
"""A quantity in whole units of its asset; of a movement, with its sign."""
Change = Annotated[int, whole_in(-MAX_QUANTITY, MAX_QUANTITY)]
"""A quantity in smallest units, with its sign."""
BalanceName = Literal["posted", "free"]
YesNo = Literal["yes", "no"]
JsonObject = dict[str, Any]


class Report(Document):
    """What every report of one account says of itself.

    Attributes:
        operator: public key, whose history it is.
        institution: whose account.
        account: pseudonym of the account in the log.
        log: origin of the log.
    """

    operator: PublicKey
    institution: Identifier
    account: Hash
    log: Label


class Ref(Part):
    """An entry of the account.

    Attributes:
        number: of the entry.
        entry: its hash.
        kind: what happened.
        at: the operator's time.
        type: of its document; absent where the document is kept back.
        document: hash that names the document; absent likewise.
    """

    number: Counter
    entry: Hash
    kind: Label
    at: Time
    type: Label | None = None
    document: Hash | None = None


class Held(Part):
    """A balance of one asset.

    Attributes:
        balance: `posted` or `free`.
        asset: of which.
        quantity: in smallest units.
        amount: in whole units.
    """

    balance: BalanceName
    asset: Identifier
    quantity: Quantity
    amount: Amount


class Valued(Held):
    """A balance with its worth at the report's prices.

    Attributes:
        kind: what the asset is, as the schedule says.
        price_usd: of one whole unit; of what ends no more than it pays.
        market_usd: before tiers and haircut.
        haircut: of the schedule; by tenor of what ends, that of its cash once it has matured.
        counted_usd: after tiers and haircut, in no scenario.
    """

    kind: Label
    price_usd: Amount
    market_usd: Usd
    haircut: Amount
    counted_usd: Usd


class PricesOf(Part):
    """The tick that values are at, and the schedule.

    Attributes:
        sequence: number of the tick.
        tick: its hash.
        as_of: time of its prices.
        schedule: hash of the collateral schedule, which has haircuts, tiers and ends.
    """

    sequence: Counter
    tick: Hash
    as_of: Time
    schedule: Hash


def whose(facts: AccountFacts) -> JsonObject:
    """Return what a report says of itself."""
    return {
        "operator": facts.operator,
        "institution": facts.institution,
        "account": facts.account,
        "log": facts.log,
    }


def as_object(part: Part) -> JsonObject:
    """Return a report, or a part of one, as JSON."""
    value = part.canonical()
    if not isinstance(value, dict):
        raise TypeError("a report is a JSON object")
    return value


def prices_of(prices: Prices, sequence: int, tick: str, market: Market) -> JsonObject:
    """Return the tick that values are at, and the schedule, as reports name them."""
    as_of = format_instant(market.as_of)
    return {"sequence": str(sequence), "tick": tick, "as_of": as_of, "schedule": prices.schedule.hash()}


def ref_of(step: Step) -> JsonObject:
    """Return an entry as reports name it."""
    said = {
        "number": str(step.entry.number),
        "entry": step.sha256,
        "kind": step.kind,
        "at": step.entry.entered_at,
    }
    if step.document is not None:
        said |= {"type": step.document.type, "document": step.document.body_hash()}
    return said


def held_of(prices: Prices, balance: str, held: Balances) -> list[JsonObject]:
    """Return the lines of a balance, without zeros, by asset."""
    return [
        {"balance": balance, "asset": asset, "quantity": str(quantity), "amount": prices.amount(asset, quantity)}
        for asset, quantity in sorted(held.items())
        if quantity
    ]


def valued_of(prices: Prices, market: Market, balance: str, held: Balances) -> list[JsonObject]:
    """Return the lines of a balance with their worth."""
    lines = []
    for line in held_of(prices, balance, held):
        asset = prices.asset(line["asset"])
        worth = prices.worth(market, asset.id, held[asset.id])
        lines.append(
            line
            | {
                "kind": asset.kind,
                "price_usd": format(worth.price, "f"),
                "market_usd": cents(worth.market),
                "haircut": format(worth.haircut, "f"),
                "counted_usd": cents(worth.counted),
            }
        )
    return lines


def counted(prices: Prices, market: Market, held: Balances) -> str:
    """Return what a balance is worth after tiers and haircut, USD; what has matured counts with all other cash."""
    return cents(prices.counted(market, held))


def market_value(prices: Prices, market: Market, held: Balances) -> str:
    """Return what a balance is worth at its prices, USD."""
    return cents(sum((prices.worth(market, asset, held[asset]).market for asset in held), Fraction(0)))


def moves_stated(step: Step) -> tuple[Move, ...] | None:
    """Return what the document of an entry itself says that it moves; None of one that says nothing of this kind.

    What is not known here is left to the states: their difference is what moved.
    """
    body = step.body
    found: dict[tuple[str, str], int] = {}

    def add(balance: str, asset: str, quantity: int) -> None:
        if balance in ("posted", "free"):
            found[balance, asset] = found.get((balance, asset), 0) + quantity

    kind = None if step.document is None else step.document.type
    if kind == "deposit":
        add("free", body["asset"], int(body["quantity"]))
    elif kind == "collateral-instruction" and body["action"] in ("post", "withdraw"):
        add("free", body["asset"], -int(body["quantity"]))
        if body["action"] == "post":
            add("posted", body["asset"], int(body["quantity"]))
    elif kind == "settlement":
        for move in body["transfers"]:
            add(move["source"], move["asset"], -int(move["quantity"]))
            add(move["destination"], move["asset"], int(move["quantity"]))
    elif kind == "release":
        for held, source, target in ((body["taken"], "posted", "free"), (body.get("given", {}), "free", "posted")):
            for asset, quantity in held.items():
                add(source, asset, -int(quantity))
                add(target, asset, int(quantity))
    elif kind == "maturity":
        add(body["pool"], body["asset"], -int(body["quantity"]))
        add(body["pool"], body["cash"], int(body["paid"]))
    elif kind == "obligation" and body["direction"] == "return":
        add("free", body["asset"], -int(body["quantity"]))
    elif kind == "netting":
        for line in (shown["line"] for shown in body["lines"]):
            if line["direction"] == "delivery" and line["arrived"]:
                add("free", line["asset"], int(line["quantity"]))
    elif kind == "segregation":
        for asset, quantity in body["taken"].items():
            add("free", asset, -int(quantity))
    elif kind == "close-out":
        for asset, quantity in body["returned"].items():
            add("free", asset, int(quantity))
    elif kind == "submission" and "settles" in body["gain"]:
        add("posted", body["gain"]["settles"]["asset"], -int(body["gain"]["settles"]["quantity"]))
    else:
        return None
    return tuple(Move(balance, asset, change) for (balance, asset), change in sorted(found.items()) if change)


def total(lines: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the sum of a field of lines, as it is shown there."""
    return format(sum((Decimal(line[name]) for line in lines), Decimal("0.00")), "f")
