"""The FHE programs over A z + c, as functions the compiler traces.

`z` is encrypted (unsigned radix digits), `A` and `c` are clear run-time inputs, so one compiled module and one key set
serve every price tick. `surplus` needs no bootstrap; `breach` costs `bits` bootstraps a row for the exact sign, plus a
tree that joins the signs.
"""

from typing import Any

import numpy as np

from atomic_margin.circuits.concrete import cfhe

# Three signs sum to at most 3, two bits: the widest sum whose table lookup keeps the flag's key in dimension 2048,
# and with it the later decryption proof small.
FAN_IN = 3


def _is_positive(x: Any) -> Any:
    # An integer, not a bool: the tracer adds booleans as booleans, and an encrypted sum would overflow silently.
    return np.where(np.asarray(x) > 0, 1, 0)


def surplus(z: Any, A: Any, c: Any) -> Any:
    """Encrypted A z + c, shape (R,)."""
    return A @ z + c


def breach_of(rows: int, bits: int) -> Any:
    """Return the program whose encrypted output, shape (1,), is 1 when any of `rows` rows of A z + c is negative."""

    def breach(z: Any, A: Any, c: Any) -> Any:
        signs = cfhe.bits(A @ z + c)[bits - 1]
        count = rows
        while count > 1:
            third, left = divmod(count, FAN_IN)
            whole = count - left
            parts = []
            if third:
                parts.append(signs[:third] + signs[third : 2 * third] + signs[2 * third : whole])
            if left == 1:
                parts.append(signs[whole:])
            elif left == 2:
                parts.append(signs[whole : whole + 1] + signs[whole + 1 :])
            joined = np.concatenate(tuple(parts)) if len(parts) > 1 else parts[0]
            signs = cfhe.univariate(_is_positive)(joined)
            count = -(-count // FAN_IN)
        return signs

    return breach
