"""Derive `circuits/pinned.json`: ``python -m atomic_margin.fhe.pin`` writes it, `--check` only compares.

Run it after a profile or the FHE library changes. It makes throw-away keys for each profile.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import atomic_margin.circuits
from atomic_margin.circuits.compiling import compile_module
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.profile import KNOWN_ANSWER_ROWS, PROFILES, Profile
from atomic_margin.circuits.signals import kept_signal_handlers
from atomic_margin.fhe.lwe import find_payload

PINNED = Path(atomic_margin.circuits.__file__).with_name("pinned.json")


def derive(profile: Profile) -> dict[str, Any]:
    """Compile `profile`, make keys, run every function once and read off what is to be pinned."""
    module = compile_module(profile)
    specs = module.server.client_specs.serialize()
    described = json.loads(specs)
    client = cfhe.Client(cfhe.ClientSpecs.deserialize(specs))
    client.keygen()
    evaluation_keys = client.evaluation_keys
    z = np.zeros(profile.entries, dtype=np.int64)
    encrypted = client.encrypt(z, None, None, function_name=profile.functions[0])[0]
    circuits = {circuit["name"]: circuit for circuit in described["circuits"]}

    inputs = circuits[profile.functions[0]]["inputs"][0]
    messages = {"input": _message(encrypted.serialize(), inputs)}
    for name in profile.functions:
        rows = KNOWN_ANSWER_ROWS if name == "known_answer" else profile.rows
        A, c = np.ones((rows, profile.entries), dtype=np.int64), np.zeros(rows, dtype=np.int64)
        with kept_signal_handlers():
            output = module.server.run(encrypted, A, c, evaluation_keys=evaluation_keys, function_name=name)
        messages[name] = _message(output.serialize(), circuits[name]["outputs"][0])
    return {
        "profile": profile.name,
        "client_specs_sha256": hashlib.sha256(specs).hexdigest(),
        "evaluation_key_bytes": len(evaluation_keys.serialize()),
        "key_dimensions": [key["params"]["lweDimension"] for key in described["keyset"]["lweSecretKeys"]],
        "input_variance": circuits[profile.functions[0]]["inputs"][0]["typeInfo"]["lweCiphertext"]["encryption"][
            "variance"
        ],
        "messages": messages,
    }


def _message(message: bytes, gate: dict[str, Any]) -> dict[str, Any]:
    payload, ciphertext = find_payload(message), gate["typeInfo"]["lweCiphertext"]
    integer = ciphertext["encoding"]["integer"]
    return {
        "prefix": message[: payload.start].hex(),
        "suffix": message[payload.stop :].hex(),
        "count": int(np.prod(gate["rawInfo"]["shape"]["dimensions"][:-1])),
        "dimension": ciphertext["encryption"]["lweDimension"],
        "width": integer["width"],
        "signed": integer["isSigned"],
        "key": ciphertext["encryption"]["keyId"],
    }


def main() -> None:
    """Write or check `pinned.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    arguments = parser.parse_args()
    text = (
        json.dumps({profile.hash(): derive(profile) for profile in PROFILES.values()}, indent=1, sort_keys=True) + "\n"
    )
    if not arguments.check:
        PINNED.write_text(text)
    elif PINNED.read_text() != text:
        sys.exit(f"{PINNED.name} is not what this machine derives; run without --check and read the difference")


if __name__ == "__main__":
    main()
