"""Derive `circuits/pinned.json`: ``python -m atomic_margin.fhe.pin`` writes it, `--check` only compares.

Run it after a profile or the FHE library changes. It makes throw-away keys for each profile (an hour for all). The
frame around a ciphertext follows from its description in the client specifications, so a function is run only where no
profile before had an output of that description.
"""

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import atomic_margin.circuits
from atomic_margin.circuits.circuit import circuit_by_name
from atomic_margin.circuits.compiling import compiled_module
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.profile import PROFILES, Profile, profile_by_name
from atomic_margin.circuits.signals import kept_signal_handlers
from atomic_margin.fhe.lwe import find_payload

PINNED = Path(atomic_margin.circuits.__file__).with_name("pinned.json")

Frames = dict[str, tuple[str, str]]


def derive(profile: Profile, frames: Frames) -> dict[str, Any]:
    """Compile `profile`, make keys and read off what is to be pinned; `frames` are those known so far, by gate."""
    compiled = compiled_module(profile)
    described = json.loads(compiled.client_specs)
    client = cfhe.Client(cfhe.ClientSpecs.deserialize(compiled.client_specs))
    client.keygen()
    evaluation_keys = client.evaluation_keys
    z = np.zeros(profile.entries, dtype=np.int64)
    encrypted = client.encrypt(z, None, None, function_name="surplus")[0]
    circuits = {circuit["name"]: circuit for circuit in described["circuits"]}

    inputs = circuits["surplus"]["inputs"][0]
    messages = {"input": _message(inputs, frames, encrypted.serialize)}
    for name in profile.functions:
        circuit = circuit_by_name(name)
        rows = circuit.rows_of(profile)
        A, c = np.ones((rows, profile.entries), dtype=np.int64), np.zeros(rows, dtype=np.int64)
        clear = circuit.clear_inputs(profile, {key: low for key, (low, _) in circuit.chosen(profile).items()})

        def output(name: str = name, clear: Any = (A, c, *clear)) -> bytes:
            with kept_signal_handlers():
                value = compiled.server.run(encrypted, *clear, evaluation_keys=evaluation_keys, function_name=name)
            return bytes(value.serialize())

        messages[name] = _message(circuits[name]["outputs"][0], frames, output)
    return {
        "profile": profile.name,
        "client_specs_sha256": hashlib.sha256(compiled.client_specs).hexdigest(),
        "evaluation_key_bytes": len(evaluation_keys.serialize()),
        "key_dimensions": [key["params"]["lweDimension"] for key in described["keyset"]["lweSecretKeys"]],
        "input_variance": inputs["typeInfo"]["lweCiphertext"]["encryption"]["variance"],
        "log2_p_error": math.log2(compiled.statistics.p_error),
        "messages": messages,
    }


def _message(gate: dict[str, Any], frames: Frames, make: Any) -> dict[str, Any]:
    described = json.dumps(gate, sort_keys=True)
    if described not in frames:
        message = make()
        payload = find_payload(message)
        frames[described] = message[: payload.start].hex(), message[payload.stop :].hex()
    prefix, suffix = frames[described]
    ciphertext = gate["typeInfo"]["lweCiphertext"]
    integer = ciphertext["encoding"]["integer"]
    return {
        "prefix": prefix,
        "suffix": suffix,
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
    parser.add_argument("--profile", action="append", help="only this profile (may be repeated); the others stay")
    arguments = parser.parse_args()
    profiles = {profile_by_name(name) for name in arguments.profile or PROFILES}
    pinned = json.loads(PINNED.read_text()) if arguments.profile else {}
    frames: Frames = {}
    for profile in track(sorted(profiles, key=lambda one: (one.entries, one.rows, one.bits)), "profiles"):
        pinned[profile.hash()] = derive(profile, frames)
        if arguments.profile and not arguments.check:
            # What took minutes is not lost with what comes after it.
            PINNED.write_text(_text(pinned))
    if not arguments.check:
        PINNED.write_text(_text(pinned))
    elif PINNED.read_text() != _text(pinned):
        sys.exit(f"{PINNED.name} is not what this machine derives; run without --check and read the difference")


def _text(pinned: dict[str, Any]) -> str:
    return json.dumps(pinned, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    main()
