"""What it is worth that one party of a transfer may still walk away: estimates for docs/two-chains.md. Pure.

Both are values of options on what is locked, as a fraction of its price when it was locked, without interest and with
a lognormal price. Real prices jump, so these are what a quiet market costs, not a bound.

>>> f"{free_option(volatility=0.8, seconds=600):.4%}"
'0.1392%'
>>> free_option(volatility=0.8, seconds=600, strike=1.01) < free_option(volatility=0.8, seconds=600)
True
"""

import math

YEAR_SECONDS = 365 * 24 * 3600


def free_option(*, volatility: float, seconds: float, strike: float = 1.0) -> float:
    """Return what the party is given that may pay for a locked token, or not, until a time (Margrabe 1978).

    Without interest, and with nothing paid out on the token, exercise before the end gains nothing, so the American
    option is worth as much as the European one. At the money it is about 0.4 times volatility times the root of time.

    Args:
        volatility: of the ratio of both tokens' prices, per root of a year.
        seconds: from the lock to the last second to pay, or to the time at which the other party can end it.
        strike: price of the token that is to be paid, over its price when it was locked.
    """
    spread = volatility * math.sqrt(seconds / YEAR_SECONDS)
    if spread == 0:
        return max(1 - strike, 0.0)
    first = -math.log(strike) / spread + spread / 2
    return _normal(first) - strike * _normal(first - spread)


def walk_away(*, volatility: float, seconds: float, haircut: float) -> float:
    """Return what the party is given that may leave a lock to the other one instead of the value it was counted at.

    It is a put with the value after the haircut as its strike, by parity with the call.

    Args:
        volatility: of the locked token's price, per root of a year.
        seconds: from the prices by which it was counted to its seizure and sale.
        haircut: part of its price that was not counted.
    """
    strike = 1 - haircut
    return free_option(volatility=volatility, seconds=seconds, strike=strike) - (1 - strike)


def _normal(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def main() -> None:
    """Print the tables of docs/two-chains.md."""
    times = {"1 min": 60, "10 min": 600, "1 h": 3600, "1 day": 86_400}
    print(f"| free option, volatility | {' | '.join(times)} |\n|---{'|---' * len(times)}|")
    for volatility in (0.1, 0.4, 0.8):
        values = [f"{free_option(volatility=volatility, seconds=one):.3%}" for one in times.values()]
        print(f"| {volatility:.0%} | {' | '.join(values)} |")
    print(f"\n| walking away, volatility 80%, haircut | {' | '.join(times)} |\n|---{'|---' * len(times)}|")
    for haircut in (0.0, 0.02, 0.05, 0.1):
        values = [f"{walk_away(volatility=0.8, seconds=one, haircut=haircut):.3%}" for one in times.values()]
        print(f"| {haircut:.0%} | {' | '.join(values)} |")


if __name__ == "__main__":
    main()
