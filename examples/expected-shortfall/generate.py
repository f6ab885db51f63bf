"""Write model.json beside this file: 260 invented daily moves of BTC and ETH, and a cover fitted to them.

    python examples/expected-shortfall/generate.py

Moves have fat tails (one scale a day, from a chi-square of 4.5 degrees of freedom), correlated spots, volatilities that
rise when spots fall or jump, and a small basis that follows spot. The file is what counts: nothing reads the generator.
"""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np

from atomic_margin.margin import Market, Universe
from atomic_margin.margin.models.expected_shortfall import ExpectedShortfallModel, fit_cover

HERE = Path(__file__).parent
MOVES = 260
NAMES = ("BTC", "ETH")
#                     spot          volatility    basis
DEVIATIONS = np.array([0.032, 0.042, 0.055, 0.055, 0.0012, 0.0015])
CORRELATION = np.array(
    [
        [1.00, 0.83, -0.35, -0.30, 0.30, 0.25],
        [0.83, 1.00, -0.30, -0.35, 0.25, 0.30],
        [-0.35, -0.30, 1.00, 0.80, -0.10, -0.10],
        [-0.30, -0.35, 0.80, 1.00, -0.10, -0.10],
        [0.30, 0.25, -0.10, -0.10, 1.00, 0.60],
        [0.25, 0.30, -0.10, -0.10, 0.60, 1.00],
    ]
)


def moves() -> list[dict[str, object]]:
    """Return the moves as JSON objects, one for each day up to 19 November 2026."""
    draw = np.random.Generator(np.random.PCG64(20261120))
    normal = draw.standard_normal((MOVES, 6)) @ np.linalg.cholesky(CORRELATION).T
    scale = np.sqrt(2.5 / draw.chisquare(4.5, (MOVES, 1)))
    values = normal * scale * DEVIATIONS
    values[:, 2:4] += 0.5 * np.abs(values[:, :2])
    fields = ("spot", "volatility", "basis")
    first = date(2026, 11, 20) - timedelta(days=MOVES)
    return [
        {
            "label": (first + timedelta(days=day)).isoformat(),
            **{
                field: {name: text(value) for name, value in zip(NAMES, row[2 * i : 2 * i + 2], strict=True)}
                for i, field in enumerate(fields)
            },
        }
        for day, row in enumerate(values)
    ]


def text(value: float) -> str:
    """Return a decimal string of five places."""
    shown = f"{value:.5f}"
    return "0" if float(shown) == 0 else shown


def main() -> None:
    """Write the file."""
    universe = Universe.parse(json.loads((HERE.parent / "universe.json").read_text()))
    market = Market.parse(json.loads((HERE.parent / "market-1.json").read_text()))
    charges = {"perpetual": "0.004", "future": "0.004", "option_long": "0.001", "option_short_minimum": "0.01"}
    plain = {
        "format": "atomic-margin/model/1",
        "name": "expected_shortfall",
        "tail": "0.025",
        "initial_factor": "1.3",
        "minimum_transfer_amount": "100000",
        "charges": charges,
        "scenarios": moves(),
    }
    fitted = fit_cover(ExpectedShortfallModel.parse(plain), universe, market, factors=4, rows=33)
    (HERE / "model.json").write_text(dump(cast(Mapping[str, Any], fitted.canonical())))


def dump(document: Mapping[str, Any]) -> str:
    """Return JSON with one move, score or corner on a line."""
    lists = {"scenarios": document["scenarios"], **document["cover"]}
    short = {**document, "scenarios": "@scenarios", "cover": {name: f"@{name}" for name in document["cover"]}}
    text = json.dumps(short, indent=2)
    for name, items in lists.items():
        text = text.replace(f'"@{name}"', "[\n    " + ",\n    ".join(map(json.dumps, items)) + "\n  ]")
    return text + "\n"


if __name__ == "__main__":
    main()
