"""Explain: why the excess of an account changed between two ticks.

One thing at a time is taken from the later tick, everything else left as it was; what the account's excess then changes
by is the effect of that thing. What they do only together, such as volatility that rises while prices fall, is no
effect of either: it is the residual, and it is shown. Amounts are whole cents, excess rounded down, against the holder;
effects and residual sum to the change exactly.

| factor | what is taken from the later tick |
|---|---|
| prices | spot, perpetuals and forwards; also what is posted in an asset that goes by a spot price |
| volatility | implied volatilities |
| time | the time of the prices, and with it what has been settled meanwhile |
| rate | the interest rate |
| funding | funding indices |
| trades | the book |
| collateral | what is posted, the prices of assets that have no spot, and the collateral schedule |
| model | the margin model, its scenarios among it |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from atomic_margin.margin.analysis.account import Account, require_account
from atomic_margin.margin.errors import NotAnalysed
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.models.case import AnyCase

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Effect:
    """What one factor alone does to the excess, USD in whole cents.

    Attributes:
        factor: one of `FACTORS`.
        maintenance: under maintenance margin.
        initial: under initial margin.
    """

    factor: str
    maintenance: Decimal
    initial: Decimal

    def of(self, kind: MarginKind) -> Decimal:
        """Return the effect under one kind."""
        return self.maintenance if kind == "maintenance" else self.initial


@dataclass(frozen=True)
class Explanation:
    """A change of excess, taken apart; USD in whole cents.

    Attributes:
        before: excess at the first tick, of each kind.
        after: excess at the second.
        effects: of every factor, in the order of `FACTORS`.
    """

    before: Mapping[MarginKind, Decimal]
    after: Mapping[MarginKind, Decimal]
    effects: tuple[Effect, ...]

    def change(self, kind: MarginKind) -> Decimal:
        """Return excess after less excess before."""
        return self.after[kind] - self.before[kind]

    def residual(self, kind: MarginKind) -> Decimal:
        """Return what the factors do only together: the change less all effects."""
        return self.change(kind) - sum((effect.of(kind) for effect in self.effects), Decimal(0))


def explain(before: Account | AnyCase, after: Account | AnyCase) -> Explanation:
    """Return why the excess of an account changed from one tick to another.

    Raises:
        NotAnalysed: for cases; or the two ticks are of different universes.
        DocumentError: the documents do not fit together, or prices of one tick do not go with the time of the other.
    """
    first, last = require_account(before, "an explanation"), require_account(after, "an explanation")
    if first.published.universe.hash() != last.published.universe.hash():
        raise NotAnalysed("the two ticks are of different universes: carry the book to the second one first")
    start, end = _excess(first), _excess(last)
    effects = []
    for factor, taken in _TAKEN.items():
        account = taken(first, last)
        found = start if account is None else _excess(account)
        effects.append(Effect(factor, *(found[kind] - start[kind] for kind in KINDS)))
    return Explanation(start, end, tuple(effects))


def _excess(account: Account) -> dict[MarginKind, Decimal]:
    found = account.reference().excess
    return {kind: Decimal(found[kind]).quantize(_CENT, ROUND_FLOOR) for kind in KINDS}


def _market(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Callable[[Account, Account], Account | None]:
    """Return what puts a market between the two into the first account; None where it is the first one itself."""

    def taken(first: Account, last: Account) -> Account | None:
        old, new = first.published.market, last.published.market
        document: Any = old.canonical()
        change(document, new.canonical())  # type: ignore[arg-type]  # a document's JSON is an object
        market = Market.parse(document)
        if market == old:
            return None
        return replace(first, published=replace(first.published, market=market))

    return taken


def _quotes(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (quotes, new["underlyings"][name]) for name, quotes in old["underlyings"].items() if name in new["underlyings"]
    ]


def _expiries(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (quote, theirs["expiries"][expiry])
        for ours, theirs in _quotes(old, new)
        for expiry, quote in ours["expiries"].items()
        if expiry in theirs["expiries"]
    ]


def _prices(old: dict[str, Any], new: dict[str, Any]) -> None:
    for ours, theirs in _quotes(old, new):
        ours |= {name: theirs[name] for name in ("spot", "perpetual")}
    for quote, later in _expiries(old, new):
        # Of what has settled meanwhile there may be no forward any more; its price is part of what time has done.
        quote |= {name: later[name] for name in ("forward",) if name in later}


def _volatilities(old: dict[str, Any], new: dict[str, Any]) -> None:
    for quote, later in _expiries(old, new):
        # All of them: a strike that the later tick does not quote is interpolated between those it does.
        quote["volatilities"] = later["volatilities"] or quote["volatilities"]


def _time(old: dict[str, Any], new: dict[str, Any]) -> None:
    old["as_of"] = new["as_of"]
    for quote, later in _expiries(old, new):
        quote.pop("settlement", None)
        quote |= {name: later[name] for name in ("settlement",) if name in later}


def _rate(old: dict[str, Any], new: dict[str, Any]) -> None:
    old["rate"] = new["rate"]


def _funding(old: dict[str, Any], new: dict[str, Any]) -> None:
    for ours, theirs in _quotes(old, new):
        ours["funding_index"] = theirs.get("funding_index", "0")


def _assets(old: dict[str, Any], new: dict[str, Any]) -> None:
    old["collateral"] = {**old["collateral"], **new["collateral"]}


def _trades(first: Account, last: Account) -> Account | None:
    return None if first.book == last.book else replace(first, book=last.book)


def _collateral(first: Account, last: Account) -> Account | None:
    priced = _market(_assets)(first, last) or first
    schedule = last.published.schedule
    changed = replace(priced, posted=last.posted, published=replace(priced.published, schedule=schedule))
    return None if changed == first else changed


def _model(first: Account, last: Account) -> Account | None:
    return None if first.model == last.model else replace(first, model=last.model)


_TAKEN: Mapping[str, Callable[[Account, Account], Account | None]] = {
    "prices": _market(_prices),
    "volatility": _market(_volatilities),
    "time": _market(_time),
    "rate": _market(_rate),
    "funding": _market(_funding),
    "trades": _trades,
    "collateral": _collateral,
    "model": _model,
}

FACTORS = tuple(_TAKEN)
"""What a change of excess is explained by, in order."""
