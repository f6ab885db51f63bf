"""The known-answer test of evaluation keys, and the fingerprint of a process's FFT plan.

At enrolment the institution encrypts the published vector of `known_entries` and sends it with its evaluation keys.
The operator evaluates the two-row `known_answer` function on it with seeded matrices whose flags both sides know; the
institution decrypts and says only whether the flags came out right. That finds keys that were damaged on the way; it
proves nothing about a cheating institution (docs/protocol.md).

Evaluation is byte-stable within a process but not between processes, because the FFT plan is chosen by timing at
start. The output of one fixed known-answer evaluation tells the plans apart: processes in which it is equal gave equal
outputs. A function that bootstraps with several polynomial sizes has a two-row function of its own that does so too.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.profile import KNOWN_ANSWER_ROWS, Profile

IntArray = npt.NDArray[np.int64]

KNOWN_ANSWERS = 4
"""Evaluations of one test, flags 0 and 1 in turn."""


FINGERPRINTED_BY = {"shortfall": "known_shortfall", "known_shortfall": "known_shortfall"}
"""Two-row functions that use the same polynomial sizes as a function; `known_answer` for those not named."""


def fingerprint_function(functions: tuple[str, ...]) -> str:
    """Return the two-row function whose output fingerprints the FFT plans that `functions` use."""
    return next((FINGERPRINTED_BY[name] for name in functions if name in FINGERPRINTED_BY), "known_answer")


def known_entries(profile: Profile) -> IntArray:
    """Return the published vector, shape (N,): i mod 2^entry_bits."""
    return np.arange(profile.entries, dtype=np.int64) % (1 << profile.entry_bits)


def known_matrix(profile: Profile, seed: bytes, flag: int) -> tuple[IntArray, IntArray]:
    """Return A and c, shapes (2, N) and (2,), whose rows on the published vector are (0, 7), or (-1, 7) for flag 1.

    A is expanded from the seed and is not zero: with a zero matrix the rotations would be trivial and damaged keys
    would pass.
    """
    stream = hashlib.shake_256(b"atomic-margin/v1/known-answer\n" + profile.hash().encode() + seed)
    drawn = np.frombuffer(stream.digest(KNOWN_ANSWER_ROWS * profile.entries), dtype=np.uint8)
    A = drawn.reshape(KNOWN_ANSWER_ROWS, profile.entries).astype(np.int64) % 15 - 7
    # Keeps |A z| below 2^(bits - 2) in every profile: at most 7 * 31 * entries otherwise.
    A[:, (1 << (profile.bits - 2)) // (7 * 31) :] = 0
    target = np.array([-flag, 7], dtype=np.int64)
    return A, target - A @ known_entries(profile)


def fingerprint(output: bytes) -> str:
    """Return the fingerprint of the FFT plan that made `output`, the words of the fixed known-answer evaluation."""
    return hashlib.sha256(b"atomic-margin/v1/fft-plan\n" + output).hexdigest()
