"""Make the keys and files of every party of compose.yaml, once: python deploy/setup.py FOLDER.

A trial on one machine: in production each party makes its own on its own machine, and hands over public keys only.
What is there already stays.
"""

import sys
from pathlib import Path

from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.service.files import examples_folder, read_json, write_json
from atomic_margin.service.log.checkpoints import log_key, witness_key
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile

ORIGIN, WITNESS = "compose.example/log", "compose.example/witness"
INSTITUTIONS, SOURCES = ("alpha", "beta"), ("a", "b", "c")
PROFILE = "256x24x24"


def key_in(folder: Path, file: str) -> str:
    """Return the public key in a folder; make the key if there is none."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Identity.load_or_create(folder / file).public_key


def main(root: Path) -> None:
    """Make everything under a folder: a folder a party, and `shared` for what all may read."""
    examples, shared = examples_folder(), root / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    sources = [key_in(root / f"source-{name}", "source.key") for name in SOURCES]
    operator = key_in(root / "operator", "operator.key")
    witness = str(witness_key(WITNESS, key_in(root / "witness", "witness.key")))
    identities = {name: key_in(root / f"institution-{name}", "identity.key") for name in INSTITUTIONS}
    bounds = {"price": "0.02", "volatility": "0.05", "rate": "0.01"}
    rules = PriceRules.parse(
        {
            "format": "atomic-margin/price-rules/1",
            "sources": sources,
            "required": "2",
            "max_skew_seconds": "60",
            # The example markets are of one day; give seconds where prices are of now.
            "max_age_seconds": "unbounded",
            "outlier": bounds,
            "move": {"price": "0.5", "volatility": "1", "rate": "0.05"},
        }
    )
    files = [f"{name}.json" for name in ("model-scan", "universe", "collateral-schedule")]
    for file in (*files, "market-1.json"):
        write_json(shared / file, read_json(examples / file, numbers=True))
    terms = Terms.parse(*(read_json(shared / file) for file in files), profile_by_name(PROFILE))
    trust = TrustFile.parse(
        {
            "format": "atomic-margin/trust/2",
            "operator": operator,
            "prices": rules.canonical(),
            "institutions": identities,
            "keys": {},
            **{name: terms.hashes[name] for name in ("model", "schedule", "profile", "generators")},
            "universe": terms.universe.hash(),
            "log": {
                "key": str(log_key(ORIGIN, operator)),
                "witnesses": [witness],
                "threshold": "1",
                "max_age_seconds": "600",
            },
        }
    )
    write_json(shared / "price-rules.json", rules.canonical())
    write_json(shared / "trust.json", trust.canonical())
    keys = {"operator": operator, "witness": witness, **identities}
    for name, key in keys.items():
        (shared / f"{name}.pub").write_text(f"{key}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
