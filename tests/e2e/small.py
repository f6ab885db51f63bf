"""A small set of documents for the `tiny` profile, cut from examples/: 4 instruments, 4 scenarios, one margin call.

Everything runs as in production, on a circuit that evaluates in one second instead of nine.
"""

import json
from pathlib import Path
from typing import Any

from ..lines import portfolio_json

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

GROSS_LIMIT = 4_000_000
INSTRUMENTS = {"BTC-PERP": "2", "ETH-PERP": "2", "BTC-25DEC26-100000-C": "1", "BTC-25DEC26-80000-P": "1"}
# The worst of all for this book, the two that come next to it in weights, and none.
SCENARIOS = ("crash -20% vol up", "spot -15% vol up", "spot +15% vol up", "unchanged")

PORTFOLIO = portfolio_json(("BTC-PERP", "long", 140), ("ETH-PERP", "short", 60), ("BTC-25DEC26-100000-C", "short", 25))
# Units of 10^-6 USDC and 10^-2 of a T-bill: enough for market-1, short by one call under market-2, and with what is
# left free not enough under market-4.
COLLATERAL = {
    "format": "atomic-margin/collateral-holdings/1",
    "posted": {"USDC": "300000000000"},
    "free": {"TBILL-2027-02": "15000000"},
}


def read(name: str) -> Any:
    """Return one of the project's example documents."""
    return json.loads((EXAMPLES / name).read_text())


def small_examples() -> dict[str, Any]:
    """Return the documents by the names of their files, which the demo's parties look for."""
    universe, model = read("universe.json"), read("model-scan.json")
    universe["instruments"] = [
        {**item, "digits": INSTRUMENTS[item["id"]]} for item in universe["instruments"] if item["id"] in INSTRUMENTS
    ]
    model["scenarios"] = [item for item in model["scenarios"] if item["label"] in SCENARIOS]
    return {
        "universe.json": universe,
        "model-scan.json": model,
        "collateral-schedule.json": read("collateral-schedule.json"),
        "institution.json": {**read("institution.json"), "gross_limit": str(GROSS_LIMIT)},
        "portfolio.json": PORTFOLIO,
        "story.json": {
            "format": "atomic-margin/story/1",
            "profile": "tiny",
            "steps": [
                *({"tick": f"market-{number}.json"} for number in (1, 2, 3)),
                {"release": {"USDC": "40000000000"}},
                {"tick": "market-4.json"},
            ],
        },
        "collateral.json": COLLATERAL,
        **{f"market-{number}.json": read(f"market-{number}.json") for number in (1, 2, 3, 4)},
    }


def write_small_examples(folder: Path) -> Path:
    """Write the documents, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in small_examples().items():
        (folder / name).write_text(json.dumps(document))
    return folder


def market(number: int, sequence: int, minutes: int = 0) -> dict[str, Any]:
    """Return an example market under another sequence number and later by some minutes."""
    document = read(f"market-{number}.json")
    hour, minute = divmod(minutes, 60)
    document["sequence"] = str(sequence)
    document["as_of"] = f"2026-11-21T{hour:02}:{minute:02}:00Z"
    return document
