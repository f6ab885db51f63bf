"""A small set of documents for the `small` profile, cut from examples/: 4 instruments, 16 scenarios, one margin call.

Everything runs as in production, on a circuit that evaluates in three seconds instead of nine.
"""

import json
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

GROSS_LIMIT = 4_000_000
INSTRUMENTS = {"BTC-PERP": "2", "ETH-PERP": "2", "BTC-25DEC26-100000-C": "1", "BTC-25DEC26-80000-P": "1"}
LEFT_OUT = ("basis up", "basis down", "BTC +10%", "BTC -10%", "spot +5%")

PORTFOLIO = {
    "format": "atomic-margin/portfolio/1",
    "positions": [
        {"instrument": "BTC-PERP", "side": "long", "lots": "140"},
        {"instrument": "ETH-PERP", "side": "short", "lots": "60"},
        {"instrument": "BTC-25DEC26-100000-C", "side": "short", "lots": "25"},
    ],
}
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


def write_small_examples(folder: Path) -> Path:
    """Write the documents under the names that the demo's parties look for, and return the folder."""
    universe, model = read("universe.json"), read("model-scan.json")
    universe["instruments"] = [
        {**item, "digits": INSTRUMENTS[item["id"]]} for item in universe["instruments"] if item["id"] in INSTRUMENTS
    ]
    model["scenarios"] = [item for item in model["scenarios"] if not item["label"].startswith(LEFT_OUT)]
    documents = {
        "universe.json": universe,
        "model-scan.json": model,
        "collateral-schedule.json": read("collateral-schedule.json"),
        "institution.json": {**read("institution.json"), "gross_limit": str(GROSS_LIMIT)},
        "portfolio.json": PORTFOLIO,
        "collateral.json": COLLATERAL,
        **{f"market-{number}.json": read(f"market-{number}.json") for number in (1, 2, 3, 4)},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    return folder


def market(number: int, sequence: int, minutes: int = 0) -> dict[str, Any]:
    """Return an example market under another sequence number and later by some minutes."""
    document = read(f"market-{number}.json")
    hour, minute = divmod(minutes, 60)
    document["sequence"] = str(sequence)
    document["as_of"] = f"2026-11-21T{hour:02}:{minute:02}:00Z"
    return document
