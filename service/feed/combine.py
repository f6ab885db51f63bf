"""k-of-n prices: drop what is stale or far off, take the median of every quote. Deterministic, no clock, no I/O.

Operator, agent and verifier run the same function on the same signed documents. Rules:

- a document counts if it is a market of the tick's number, under the tick's rules, after the tick before, its time is
  within `max_skew_seconds` of the median time, and within `max_age_seconds` of the moment of arrival, unless the rules
  say that there is no such bound;
- a source that signed two documents for this number counts as none, whatever they say;
- of every quote that at least `required` documents have, the median is taken; a document with a quote beyond the
  `outlier` bound from its median is dropped;
- a quote that fewer have is left out: a strike then has none, and margin interpolates it and says so
  (`margin.market.market`), an expiry or an underlying is not priced;
- this is repeated on what is left until nothing is dropped, so combining the documents that counted gives the same;
- if fewer than `required` are left, there are no prices.

What names other rules or another tick before is dropped, not refused: it counts nowhere, so it makes no difference
whether whoever posts leaves it out or not, and nobody can say that it kept a tick from being made.

The median of an even number is the *lower* of the middle two: always a quote that a source signed, in its own
digits. While fewer than half of those that count *and have a quote* are dishonest, it lies between two honest ones.
While fewer than `required` are dishonest, one of them is honest, and within the outlier bound of the median, or the
quote is left out. So a strike that few sources quote is decided by those few, and by their bound.

A quote that a source leaves out moves nothing by being left out alone: `check_move` holds the volatility that margin
then takes, from the other strikes, to the bound from the quote before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.strict import format_instant
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import MalformedRequest, PriceMoveTooLarge, TooFewSources
from atomic_margin.service.protocol.price_rules import Bounds, PriceRules
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.ticks import Dropped, Place, Price, Reason

Path = tuple[str, ...]
Kind = Literal["price", "volatility", "rate", "index", "elapsed"]


class Quote(NamedTuple):
    """One number of a market.

    Attributes:
        value: USD, or a fraction a year.
        text: as its source spelled it.
        kind: which bound holds for it; for the part of a settlement window that is over there is none.
        scale: USD that the bound of a funding index is a fraction of: the spot of its underlying, since an index may be
            near 0.
    """

    value: Decimal
    text: str
    kind: Kind
    scale: Decimal = Decimal(0)


@dataclass(frozen=True)
class Combined:
    """Prices that at least `required` sources agree on.

    Attributes:
        market: the combined prices.
        used: the documents that counted, in the order given.
        dropped: the sources that did not, and why.
    """

    market: Market
    used: tuple[SignedDocument, ...]
    dropped: tuple[Dropped, ...]


def combine(documents: Sequence[SignedDocument], rules: PriceRules, place: Place, received_at: datetime) -> Combined:
    """Combine signed prices.

    Args:
        documents: as sent, none of them twice.
        rules: sources and bounds.
        place: of the tick; documents that name another do not count.
        received_at: when they arrived, UTC to the second.

    Raises:
        MalformedRequest: another type of document, or the same one twice.
        SignatureInvalid: a document is not signed by a source of the rules.
        TooFewSources: fewer than `required` are left, with the reasons.
    """
    # (1) Every document is signed by a source of the rules, and sent once.
    require_signed(documents, rules)
    # (2) It is a market of this tick, the only one of its source, under these rules and after the tick before.
    dropped: list[Dropped] = []
    details: dict[str, str] = {}
    of_number: dict[str, list[tuple[SignedDocument, Price]]] = {}
    for document in documents:
        try:
            price = Price.parse(document.body)
        except (DocumentsError, MarginError) as error:
            # What exactly is wrong is for people: not recorded, so that nobody has to find the same words.
            details[document.signer] = str(error)
            dropped.append(Dropped(source=document.signer, reason="malformed"))
            continue
        if price.canonical() != document.body:
            details[document.signer] = "not in canonical form; leave absent fields out"
            dropped.append(Dropped(source=document.signer, reason="malformed"))
        elif price.market.sequence != place.sequence:
            dropped.append(Dropped(source=document.signer, reason="sequence"))
        else:
            of_number.setdefault(document.signer, []).append((document, price))
    counted: dict[str, SignedDocument] = {}
    left: dict[str, Market] = {}
    for source, signed in of_number.items():
        reason = _misplaced(signed, place)
        if reason is not None:
            dropped.append(Dropped(source=source, reason=reason))
        else:
            ((counted[source], price),) = signed
            left[source] = price.market
    # (3) Its time, then its quotes, are near the others'; until nobody is dropped any more.
    while True:
        if len(left) < rules.required:
            raise TooFewSources(_told(len(left), rules, dropped, details), "prices")
        found = list(_out_of_time(left, rules, received_at)) or list(_outliers(left, rules))
        if not found:
            break
        dropped += found
        for one in found:
            del left[one.source]
    as_of = _middle([market.as_of for market in left.values()])
    market = _market(place.sequence, as_of, _medians(left, rules.required))
    return Combined(market, tuple(counted[source] for source in left), tuple(dropped))


def require_signed(documents: Sequence[SignedDocument], rules: PriceRules) -> None:
    """Make sure every document is prices, signed by a source of the rules, and there once.

    Raises:
        MalformedRequest: another type of document, or the same one twice.
        SignatureInvalid: a document is not signed by a source of the rules.
    """
    seen: set[tuple[str, str]] = set()
    for index, document in enumerate(documents):
        if document.type != "price":
            raise MalformedRequest(
                f"a document of type 'price' is wanted here, this is {document.type!r}", f"prices[{index}].type"
            )
        document.verify(frozenset(rules.sources))
        if (document.signer, document.body_hash()) in seen:
            raise MalformedRequest("the same document once more: send each once", f"prices[{index}]")
        seen.add((document.signer, document.body_hash()))


def check_move(before: Market, after: Market, bounds: Bounds) -> None:
    """Make sure no quote of `after` is beyond the bounds from the same quote of `before`.

    A strike that was quoted and is no more counts as what margin takes for it. One that is quoted anew has no quote
    before, and is bounded by nothing: else a strike that is listed, or quoted right again, could stop the ticks.

    Raises:
        PriceMoveTooLarge: naming the first such quote.
    """
    earlier, later = quotes_of(before), quotes_of(after)
    for path, quote in sorted({**_vanished(earlier, later, after), **later}.items()):
        if path in earlier and _beyond(quote, earlier[path], bounds):
            interpolated = "" if path in later else ", which nobody quotes any more and which is interpolated,"
            raise PriceMoveTooLarge(
                f"{quote.text}{interpolated} after {earlier[path].text} is more than the price rules allow from one "
                "tick to the next: have the sources checked; if the prices are right, publish other rules",
                ".".join(path),
            )


def _vanished(earlier: dict[Path, Quote], later: dict[Path, Quote], after: Market) -> dict[Path, Quote]:
    """Return what stands for strikes that were quoted and are no more, where their expiry goes on."""
    found = {}
    for path in earlier.keys() - later.keys():
        match path:
            case ("underlyings", name, "expiries", expiry, "volatilities", strike):
                quotes = after.underlyings[name].expiries.get(expiry) if name in after.underlyings else None
                if quotes is not None and not quotes.is_settled:
                    volatility = quotes.volatility_at(Decimal(strike))
                    if volatility is not None:
                        # The shortest decimal that is this number: one that is held is the quote it is held from.
                        found[path] = _quote(Decimal(repr(volatility)), "volatility")
    return found


def quotes_of(market: Market) -> dict[Path, Quote]:
    """Return every number of a market but its sequence number, by path."""
    found: dict[Path, Quote] = {("rate",): _quote(market.rate, "rate")}
    found |= {("collateral", name): _quote(price, "price") for name, price in market.collateral.items()}
    for name, underlying in market.underlyings.items():
        found["underlyings", name, "spot"] = _quote(underlying.spot, "price")
        found["underlyings", name, "perpetual"] = _quote(underlying.perpetual, "price")
        if underlying.funding_index is not None:
            index = _quote(underlying.funding_index, "index")
            found["underlyings", name, "funding_index"] = index._replace(scale=underlying.spot)
        for expiry, quotes in underlying.expiries.items():
            settled = quotes.settlement
            if settled is not None:
                found["underlyings", name, "expiries", expiry, "settlement", "average"] = _quote(
                    settled.average, "price"
                )
                found["underlyings", name, "expiries", expiry, "settlement", "elapsed"] = _quote(
                    settled.elapsed, "elapsed"
                )
            # Sources pass the end of the window one after the other: who has settled knows a price all the same.
            forward = quotes.forward if settled is None or quotes.forward is not None else settled.average
            if forward is not None:
                found["underlyings", name, "expiries", expiry, "forward"] = _quote(forward, "price")
            for strike, volatility in quotes.volatilities.items():
                # One strike is one quote however sources spell it: apart, each could be short of `required`.
                spelled = strike.rstrip("0").rstrip(".") if "." in strike else strike
                found["underlyings", name, "expiries", expiry, "volatilities", spelled] = _quote(
                    volatility, "volatility"
                )
    return found


def _quote(value: Decimal, kind: Kind) -> Quote:
    return Quote(value, format(value, "f"), kind)


def _misplaced(signed: list[tuple[SignedDocument, Price]], place: Place) -> Reason | None:
    """Return why what a source signed for the tick's number does not count, by what it names."""
    # First: a source that says two things is not believed in the one that happens to fit.
    if len(signed) > 1:
        return "twice"
    ((_, price),) = signed
    if price.rules != place.rules:
        return "rules"
    if (price.previous, price.last_market) != (place.previous, place.last_market):
        return "previous"
    return None


def _out_of_time(left: dict[str, Market], rules: PriceRules, received_at: datetime) -> Iterator[Dropped]:
    middle, skew = _middle([market.as_of for market in left.values()]), timedelta(seconds=rules.max_skew_seconds)
    for source, market in left.items():
        earliest, latest = middle - skew, middle + skew
        if isinstance(rules.max_age_seconds, int):
            earliest = max(earliest, received_at - timedelta(seconds=rules.max_age_seconds))
            latest = min(latest, received_at + skew)
        if market.as_of < earliest:
            yield Dropped(source=source, reason="stale")
        elif market.as_of > latest:
            yield Dropped(source=source, reason="early")


def _outliers(left: dict[str, Market], rules: PriceRules) -> Iterator[Dropped]:
    medians = _medians(left, rules.required)
    for source, market in left.items():
        for path, quote in sorted(quotes_of(market).items()):
            if path in medians and _beyond(quote, medians[path], rules.outlier):
                yield Dropped(source=source, reason="outlier", quote=".".join(path))
                break


def _medians(left: dict[str, Market], required: int) -> dict[Path, Quote]:
    """Return the lower median of every quote that at least `required` sources have."""
    by_path: dict[Path, list[Quote]] = {}
    for market in left.values():
        for path, quote in quotes_of(market).items():
            by_path.setdefault(path, []).append(quote)
    return {path: _middle(quotes) for path, quotes in by_path.items() if len(quotes) >= required}


def _middle(values: list[Any]) -> Any:
    """Return the lower median; equal numbers in different spellings are ordered by their text."""
    return sorted(values)[(len(values) - 1) // 2]


def _beyond(quote: Quote, reference: Quote, bounds: Bounds) -> bool:
    if quote.kind == "elapsed":
        return False
    if quote.kind == "index":
        limit = bounds.price * reference.scale
    else:
        limit = getattr(bounds, quote.kind) * (reference.value if quote.kind == "price" else 1)
    return bool(abs(quote.value - reference.value) > limit)


def _market(sequence: int, as_of: datetime, quotes: dict[Path, Quote]) -> Market:
    body: dict[str, Any] = {
        "format": "atomic-margin/market/1",
        "sequence": str(sequence),
        "as_of": format_instant(as_of),
        "underlyings": {},
        "collateral": {},
    }
    for path, quote in sorted(quotes.items()):
        *parents, last = path
        at = body
        for name in parents:
            at = at.setdefault(name, {})
        at[last] = quote.text
        # An underlying may have no expiries, and an expiry no options; identifiers may be any word.
        if path[0] == "underlyings" and len(path) == 3:
            at.setdefault("expiries", {})
        elif path[0] == "underlyings" and len(path) == 5:
            at.setdefault("volatilities", {})
    return Market.parse(body)


def _told(count: int, rules: PriceRules, dropped: list[Dropped], details: dict[str, str]) -> str:
    reasons = []
    for one in dropped:
        detail = one.quote or details.get(one.source)
        reasons.append(f"{one.source[:8]}… {one.reason}" + ("" if detail is None else f" ({detail})"))
    why = f"; dropped: {', '.join(reasons)}" if reasons else ""
    return (
        f"{count} of {len(rules.sources)} sources count, {rules.required} are required{why}: send fresh prices of more "
        "sources"
    )
