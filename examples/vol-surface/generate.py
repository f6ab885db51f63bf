"""Write model.json beside this file: a scan model whose volatility scenarios have a term structure, in 24 rows.

    python examples/vol-surface/generate.py

A level move falls with the square root of time to expiry, as short volatilities move most. A twist raises one end and
lowers the other; a calendar move raises what lies between and lowers both ends. Level goes with every move of spot,
the others with none, so that buckets do not multiply rows. The numbers are invented.
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
NAMES = ("BTC", "ETH")
DAYS = ("7", "30", "90", "180")
MOVES = {
    "level up": ("0.7", "0.35", "0.2", "0.14"),
    "level down": ("-0.5", "-0.25", "-0.15", "-0.1"),
    "twist front up": ("0.4", "0.2", "-0.05", "-0.12"),
    "twist front down": ("-0.3", "-0.15", "0.05", "0.12"),
    "calendar mid up": ("-0.15", "0.1", "0.1", "-0.06"),
    "calendar mid down": ("0.15", "-0.1", "-0.1", "0.06"),
}
STILL = "0"


def term(name: str) -> list[dict[str, str]]:
    """Return the nodes of a move."""
    return [{"days": days, "move": move} for days, move in zip(DAYS, MOVES[name], strict=True)]


def row(
    label: str, spot: tuple[str, str], volatility: object, basis: str = "0", coverage: str = "1"
) -> dict[str, object]:
    """Return a scenario; one volatility move is for both underlyings."""
    by_name = volatility if isinstance(volatility, dict) else dict.fromkeys(NAMES, volatility)
    return {
        "label": label,
        "spot": dict(zip(NAMES, spot, strict=True)),
        "volatility": by_name,
        "basis": basis,
        "coverage": coverage,
    }


def scenarios() -> list[dict[str, object]]:
    """Return the 24 rows."""
    level, still = ("level up", "level down"), ("0", "0")
    rows = [
        row(f"spot {move}, {name}", (move, move), term(name))
        for move in ("0", "0.075", "-0.075", "0.15", "-0.15")
        for name in level
    ]
    rows += [row(name, still, term(name)) for name in MOVES if name not in level]
    rows += [
        row("BTC volatility up, ETH down", still, {"BTC": term("level up"), "ETH": term("level down")}),
        row("BTC volatility down, ETH up", still, {"BTC": term("level down"), "ETH": term("level up")}),
        row("BTC up, ETH down", ("0.1", "-0.1"), STILL),
        row("BTC down, ETH up", ("-0.1", "0.1"), STILL),
        row("basis up", still, STILL, basis="0.02"),
        row("basis down", still, STILL, basis="-0.02"),
        row("crash, front up", ("-0.2", "-0.25"), term("twist front up")),
        row("crash, level up", ("-0.2", "-0.25"), term("level up")),
        row("extreme up", ("0.3", "0.35"), term("level up"), coverage="0.35"),
        row("extreme down", ("-0.3", "-0.35"), term("level up"), coverage="0.35"),
    ]
    return rows


def main() -> None:
    """Write the model."""
    model = {
        "format": "atomic-margin/model/1",
        "name": "scan",
        "initial_factor": "1.3",
        "minimum_transfer_amount": "100000",
        "charges": {"perpetual": "0.004", "future": "0.004", "option_long": "0.001", "option_short_minimum": "0.01"},
        "scenarios": scenarios(),
    }
    (HERE / "model.json").write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
