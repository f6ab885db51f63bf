"""The security level of compiled parameters, read off before anybody makes keys from them.

Every key of a key set is a binary LWE secret of some dimension n, and everything encrypted under it has noise of some
standard deviation sigma (of the torus). For 128 bits of security the lattice estimator's curve, which Concrete's own
parameter search uses too, demands ``log2 sigma >= -0.0256967787 n + 2.6759313725``.

>>> round(least_deviation(2048), 2)
-49.95
"""

import json
import math
from collections.abc import Iterator

from atomic_margin.circuits.errors import ProfileError

_SLOPE, _BIAS = -0.025696778711484593, 2.675931372549016
SECURITY_BITS = 128

# The search rounds to its own grid.
_TOLERANCE = 0.01


def least_deviation(dimension: int) -> float:
    """Base-2 logarithm of the least noise deviation at which an LWE dimension has 128 bits of security."""
    return _SLOPE * dimension + _BIAS


def check_security(client_specs: bytes) -> int:
    """Return the security level, 128, of the parameters in client specifications.

    Raises:
        ProfileError: a key is used with too little noise for its dimension, or is not binary.
    """
    specs = json.loads(client_specs)
    keys = {key["id"]: key["params"] for key in specs["keyset"]["lweSecretKeys"]}
    for number, params in keys.items():
        if params["keyType"] != "binary":
            raise ProfileError(f"secret key {number} is {params['keyType']}, expected binary")
    for number, variance in _uses(specs):
        dimension = keys[number]["lweDimension"]
        deviation = 0.5 * math.log2(variance)
        if deviation < least_deviation(dimension) - _TOLERANCE:
            raise ProfileError(
                f"secret key {number}: noise 2^{deviation:.2f} is too small for dimension {dimension} at "
                f"{SECURITY_BITS} bits of security, which demand 2^{least_deviation(dimension):.2f}"
            )
    return SECURITY_BITS


def _uses(specs: dict[str, object]) -> Iterator[tuple[int, float]]:
    """Yield (key, variance) for everything that is encrypted under a key and published."""
    keyset = specs["keyset"]
    for kind in ("lweBootstrapKeys", "lweKeyswitchKeys", "packingKeyswitchKeys"):
        for key in keyset[kind]:  # type: ignore[index]  # parsed JSON
            yield key["outputId"], key["params"]["variance"]
    for circuit in specs["circuits"]:  # type: ignore[attr-defined]  # parsed JSON
        for gate in circuit["inputs"]:
            ciphertext = gate["typeInfo"].get("lweCiphertext")
            if ciphertext is not None:
                yield ciphertext["encryption"]["keyId"], ciphertext["encryption"]["variance"]
