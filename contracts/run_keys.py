"""What a run is called on a chain. For rails, signers, and whoever looks an event up."""

import hashlib

MAX_ROUNDS = 8
"""So often a run is opened: once, and anew after each time that it ended there by time alone."""
_TAG = b"atomic-margin/round"


def run_key(run_hash: bytes, number: int) -> bytes:
    """Return the identifier of a run in a vault, which opens each once.

    Two rounds of a run cannot both be settled: a vault opens a later one at the same tick only where the one before
    ended by time alone.

    Args:
        run_hash: of its signed record.
        number: of the round, from 0.

    >>> run_key(bytes(32), 0) == bytes(32), run_key(bytes(32), 1).hex()[:8]
    (True, 'c5c4860a')
    """
    return run_hash if number == 0 else hashlib.sha256(_TAG + run_hash + number.to_bytes(2, "big")).digest()
