"""Small documents and a story for every model: few scenarios and instruments, evaluated in a second."""

import json
from pathlib import Path
from typing import Any

from .small import GROSS_LIMIT, read, small_examples

Json = dict[str, Any]

NAMES = ("pmrm", "pmrm2", "expected_shortfall", "cross_margin")
"""All but the one that the demo's own test plays."""

# Of one underlying: two digits of the perpetual, one of each option.
BITCOIN = {"BTC-PERP": "2", "BTC-25DEC26-100000-C": "1", "BTC-25DEC26-80000-P": "1", "BTC-25DEC26-90000-P": "1"}
HELD = (
    ("BTC-PERP", "long", 130),
    ("BTC-25DEC26-100000-C", "short", 25),
    ("BTC-25DEC26-90000-P", "short", 20),
    ("BTC-25DEC26-80000-P", "long", 20),
)


def write_small_story(name: str, folder: Path) -> Path:
    """Write a model's documents with a story into a folder, and return it."""
    documents = small_examples()
    universe, profile = documents["universe.json"], "tiny"
    if name in ("pmrm", "pmrm2"):
        universe = {**read("pmrm2/universe.json")}
        universe["instruments"] = [
            {**item, "digits": BITCOIN[item["id"]]} for item in universe["instruments"] if item["id"] in BITCOIN
        ]
        prices = {item["id"]: item["reference_price"] for item in universe["instruments"]}
        documents["collateral-schedule.json"] = read("pmrm2/collateral-schedule.json")
        documents["portfolio.json"] = {
            "format": "atomic-margin/portfolio/2",
            "lines": [
                {"instrument": id_, "side": side, "lots": str(lots), "price": prices[id_]}
                | ({"funding_index": "0"} if id_ == "BTC-PERP" else {})
                for id_, side, lots in HELD
            ],
        }
    model = MODELS[name]()
    if name == "cross_margin":
        profile = "small"
    documents |= {
        "universe.json": universe,
        "model.json": model,
        "institution.json": {**read("institution.json"), "gross_limit": str(GROSS_LIMIT)},
        "collateral.json": {
            "format": "atomic-margin/collateral-holdings/1",
            "posted": {"USDC": POSTED[name]},
            "free": {"TBILL-2027-02": FREE},
        },
        "story.json": {
            "format": "atomic-margin/story/1",
            "profile": profile,
            "model": "model.json",
            "steps": [{"tick": f"market-{number}.json"} for number in (1, 2, 3, 4)],
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, document in documents.items():
        (folder / file).write_text(json.dumps(document))
    return folder


def _pmrm() -> Json:
    """One scenario: it stands twice, for the static discount, and there is the basis row."""
    model: Json = read("pmrm/model.json")
    model["parameters"]["scenarios"] = [
        item for item in model["parameters"]["scenarios"] if (item["spot"], item["vol"]) == ("0.85", 1)
    ]
    return model


def _pmrm2() -> Json:
    model: Json = read("pmrm2/model.json")
    model["parameters"]["Scenarios"] = [
        item
        for item in model["parameters"]["Scenarios"]
        if (item["SpotShock"], item["VolShockDirection"]) == ("0.82", "Up")
    ]
    return model


def _expected_shortfall() -> Json:
    """Four moves without a cover, of which the worst half counts."""
    model: Json = read("expected-shortfall/model.json")
    worst = sorted(model["scenarios"], key=lambda move: float(move["spot"]["BTC"]))[:3]
    best = max(model["scenarios"], key=lambda move: float(move["spot"]["BTC"]))
    kept = {name: value for name, value in model.items() if name != "cover"}
    return {**kept, "scenarios": [*worst, best], "tail": "0.5"}


def _cross_margin() -> Json:
    """Two scenarios, eight rows each."""
    model: Json = read("cross-margin/served.json")
    listed = {item["id"] for item in small_examples()["universe.json"]["instruments"]}
    for venue in model["venues"]:
        venue["instruments"] = [name for name in venue["instruments"] if name in listed]
    model["scenarios"] = [move for move in model["scenarios"] if move["label"] in ("extreme fall", "extreme rise")]
    return model


MODELS = {"pmrm": _pmrm, "pmrm2": _pmrm2, "expected_shortfall": _expected_shortfall, "cross_margin": _cross_margin}
# Units of 10^-6 USDC, and of 10^-2 of a T-bill: enough for market-1, short under market-2 by one call, and under
# market-4 by more than is left free.
POSTED = dict(zip(NAMES, ("300000000000", "308000000000", "210000000000", "240000000000"), strict=True))
FREE = "15000000"
