"""The margin of an account under `scan`, in decimals of 50 digits, straight from JSON documents.

Nothing of the package is used here: options are priced by the series of the normal distribution, amounts are added one
by one, and nothing is vectorised.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, getcontext, localcontext
from typing import Any

Json = dict[str, Any]
D = Decimal
_PI = D("3.14159265358979323846264338327950288419716939937510582097494")


def normal_cdf(x: Decimal) -> Decimal:
    """The series of Marsaglia (2004): 1/2 + density · (x + x³/3 + x⁵/15 + …)."""
    if abs(x) > 14:
        return D(x > 0)
    term = total = x
    count = 1
    while abs(term) > D("1e-60"):
        count += 2
        term = term * x * x / count
        total += term
    return D("0.5") + total * (-x * x / 2).exp() / (2 * _PI).sqrt()


def black(forward: Decimal, strike: Decimal, deviation: Decimal, discount: Decimal, call: bool) -> Decimal:
    """A European option whose logarithm of price has this standard deviation until expiry."""
    sign = D(1 if call else -1)
    if deviation == 0:
        return discount * max(D(0), sign * (forward - strike))
    d1 = (forward / strike).ln() / deviation + deviation / 2
    d2 = d1 - deviation
    return discount * sign * (forward * normal_cdf(sign * d1) - strike * normal_cdf(sign * d2))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


_STILL = D(0)


def _quoted(volatilities: Json, strike: Decimal) -> Decimal:
    """A volatility: quoted, of the nearest strike outside the quoted ones, or between two by total variance."""
    quotes = sorted((D(at), D(quoted)) for at, quoted in volatilities.items())
    if not quotes:
        return D(0)
    below = [quote for quote in quotes if quote[0] <= strike]
    above = [quote for quote in quotes if quote[0] >= strike]
    (low, first), (high, second) = (below or above[:1])[-1], (above or below[-1:])[0]
    if low == high:
        return first
    share = (strike / low).ln() / (high / low).ln()
    return (first**2 + share * (second**2 - first**2)).sqrt()


def unit_value(
    item: Json, market: Json, spot: Decimal = _STILL, volatility: Decimal = _STILL, basis: Decimal = _STILL
) -> Decimal:
    """One unit of an instrument under a move."""
    quotes = market["underlyings"][item["underlying"]]
    if item["kind"] == "perpetual":
        return D(quotes["perpetual"]) * (1 + spot)
    quote = quotes["expiries"][item["expiry"]]
    settlement = quote.get("settlement", {"average": "0", "elapsed": "0"})
    over = D(settlement["elapsed"])
    price = D(quote.get("forward", "0")) * (1 + spot) * (1 + basis)
    price = over * D(settlement["average"]) + (1 - over) * price
    if item["kind"] == "future":
        return price
    seconds = max(D(0), D((_time(item["expiry"]) - _time(market["as_of"])).total_seconds()))
    years = seconds / (365 * 86400)
    moved = _quoted(quote["volatilities"], D(item["strike"])) * (1 + volatility) * (1 - over)
    discount = (-D(market["rate"]) * years).exp()
    return black(price, D(item["strike"]), moved * years.sqrt(), discount, item["right"] == "call")


def _volatility_move(item: Json, market: Json, given: Any) -> Decimal:
    """One factor, one by underlying, or a line through nodes of days to expiry that is flat outside them."""
    move = given[item["underlying"]] if isinstance(given, dict) else given
    if isinstance(move, str):
        return D(move)
    if "expiry" not in item:
        return D(0)
    days = D((_time(item["expiry"]) - _time(market["as_of"])).total_seconds()) / 86400
    nodes = [(D(node["days"]), D(node["move"])) for node in move]
    left = max((node for node in nodes if node[0] <= days), default=nodes[0])
    right = min((node for node in nodes if node[0] >= days), default=nodes[-1])
    if left[0] == right[0]:
        return left[1]
    return left[1] + (right[1] - left[1]) * (days - left[0]) / (right[0] - left[0])


def profit(universe: Json, market: Json, book: Json) -> Decimal:
    """What the lines have made since they were traded, funding taken off, and the cash beside them."""
    items = {item["id"]: item for item in universe["instruments"]}
    total = D(book.get("cash", "0"))
    for line in book["lines"]:
        item = items[line["instrument"]]
        made = unit_value(item, market) - D(line["price"])
        if item["kind"] == "perpetual":
            made -= D(market["underlyings"][item["underlying"]].get("funding_index", "0")) - D(line["funding_index"])
        total += (1 if line["side"] == "long" else -1) * int(line["lots"]) * D(item["lot"]) * made
    return total


def _charge(item: Json, line: Json, market: Json, charges: Json) -> Decimal:
    quotes = market["underlyings"][item["underlying"]]
    if "expiry" in item and quotes["expiries"][item["expiry"]].get("settlement", {}).get("elapsed") == "1":
        return D(0)
    name = item["kind"]
    if name == "option":
        name = "option_long" if line["side"] == "long" else "option_short_minimum"
    return int(line["lots"]) * D(item["lot"]) * D(quotes["spot"]) * D(charges[name])


def _collateral(schedule: Json, market: Json, posted: Mapping[str, str], spot: Mapping[str, Decimal]) -> Decimal:
    total = D(0)
    for asset in schedule["assets"]:
        source = asset["price_source"]
        prices = market["underlyings"] if source["quote"] == "spot" else market["collateral"]
        price = D(prices[source["id"]]["spot"] if source["quote"] == "spot" else prices[source["id"]])
        move = spot.get(asset.get("risk_underlying") or "", D(0))
        quantity = D(posted.get(asset["id"], "0")) / 10 ** int(asset["decimals"])
        total += quantity * price * max(D(0), 1 + move) * (1 - D(asset["haircut"]))
    return total


def slow_ladder(
    model: Json, universe: Json, market: Json, schedule: Json, book: Json, posted: Mapping[str, str]
) -> dict[str, dict[str, Decimal]]:
    """What is left in every scenario, by kind and label; schedules without tiers."""
    with localcontext() as context:
        context.prec = 50
        assert getcontext().prec == 50
        made = profit(universe, market, book)
        items = {item["id"]: item for item in universe["instruments"]}
        found: dict[str, dict[str, Decimal]] = {}
        for kind, factor in (("maintenance", D(1)), ("initial", D(model["initial_factor"]))):
            found[kind] = {}
            for scenario in model["scenarios"]:
                coverage = D(scenario["coverage"])
                risk = D(0)
                for line in book["lines"]:
                    item = items[line["instrument"]]
                    volatility = _volatility_move(item, market, scenario["volatility"])
                    moves = (D(scenario["spot"][item["underlying"]]), volatility, D(scenario["basis"]))
                    gain = unit_value(item, market, *moves) - unit_value(item, market)
                    side = 1 if line["side"] == "long" else -1
                    risk += side * int(line["lots"]) * D(item["lot"]) * coverage * gain
                    risk -= _charge(item, line, market, model["charges"])
                spot = {name: factor * coverage * D(move) for name, move in scenario["spot"].items()}
                held = _collateral(schedule, market, posted, spot)
                found[kind][scenario["label"]] = factor * risk + made + held
        return found


def slow_excess(*documents: Any) -> dict[str, Decimal]:
    """The least of them, of each kind."""
    return {kind: min(rungs.values()) for kind, rungs in slow_ladder(*documents).items()}
