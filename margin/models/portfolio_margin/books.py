"""What the generators of cases of both versions of `pmrm` draw from.

Case k of a generator depends on k and the seed alone. Cases have up to 16 options over up to four expiries, perpetuals,
collateral, feeds of low confidence and a broken peg now and then.
"""

import random

DAY = 86400
EXPIRIES = [900, DAY // 2, DAY, 7 * DAY, 30 * DAY, 31 * DAY, 90 * DAY, 365 * DAY]
AMOUNTS = ["1", "2", "3", "0.5", "10", "47.25"]
_STRIKES = [500, 1200, 1400, 1500, 1600, 1900, 4000]


def drawing(model: str, seed: int, number: int) -> random.Random:
    """Return the random numbers of one case."""
    return random.Random(f"{model} {seed} {number}")  # noqa: S311 - books to measure on, nothing secret


def instruments(draw: random.Random, expiries: list[int], most: int) -> list[tuple[int, int, int]]:
    """Return up to ``most`` different (seconds to expiry, strike, is a call)."""
    return sorted(
        {(draw.choice(expiries), draw.choice(_STRIKES), draw.randint(0, 1)) for _ in range(draw.randint(1, most))}
    )


def confidence_of(draw: random.Random) -> str:
    """Return the confidence of a feed, mostly 1."""
    return draw.choice(["1", "1", "1", "0.6", f"{draw.random():.4f}"])
