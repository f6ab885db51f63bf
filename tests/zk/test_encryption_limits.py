"""Encryption statements outside the limits of the argument cannot be made."""

from typing import Any

import numpy as np
import pytest

from atomic_margin.zk import EncryptionStatement, KeyCommitments
from atomic_margin.zk.errors import StatementError

from .conftest import CONTEXT, Case

_MASKS, _BODIES = np.zeros((1, 4), dtype=np.uint64), np.zeros(1, dtype=np.uint64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": _MASKS.astype(np.int64)}, "masks is a numpy array of uint64"),
        ({"masks": _MASKS[0]}, "2 dimensions"),
        ({"masks": [[0] * 4]}, "masks is a numpy array"),
        ({"bodies": _BODIES.astype(np.int64)}, "bodies is a numpy array of uint64"),
        ({"bodies": _BODIES[:0]}, "0 bodies"),
        ({"masks": np.zeros((1, 5), dtype=np.uint64)}, "shape 1 x 5, but the key has dimension 4"),
        ({"masks": np.zeros((0, 4), dtype=np.uint64), "bodies": _BODIES[:0]}, "got 0"),
        ({"masks": np.zeros((4097, 4), dtype=np.uint64), "bodies": np.zeros(4097, dtype=np.uint64)}, "got 4097"),
        ({"masks": np.zeros((2, 4), dtype=np.uint64), "bodies": np.zeros(2, dtype=np.uint64)}, "2 ciphertexts"),
        ({"widths": (5, 5)}, "2 widths"),
        ({"widths": (0,)}, r"widths\[0\]"),
        ({"widths": (33,)}, r"widths\[0\]"),
        ({"scale_bits": 0}, "scale_bits"),
        ({"scale_bits": 64}, "scale_bits"),
        ({"scale_bits": 60}, "does not fit 64 bits"),
        ({"noise_bits": -1}, "noise_bits"),
        ({"noise_bits": 43}, "opened to two messages"),
        ({"commitments": ()}, "got 0 commitments"),
        ({"context": {}}, "context names"),
    ],
)
def test_statements_outside_the_limits_cannot_be_made(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {
        "commitments": (bytes(48),),
        "key": KeyCommitments(4, (bytes(48),)),
        "masks": _MASKS,
        "bodies": _BODIES,
        "widths": (5,),
        "scale_bits": 43,
        "context": {"run": "1"},
    }
    EncryptionStatement(**fields)
    with pytest.raises(StatementError, match=message):
        EncryptionStatement(**{**fields, **change})


def test_too_many_bits_are_refused_at_once() -> None:
    count, key = 4096, KeyCommitments(64, (bytes(48),))
    masks, bodies = np.zeros((count, 64), dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    # Key, entries, errors and carries.
    bits = 64 + count * (32 + 31 + 7)
    with pytest.raises(StatementError, match=f"{bits} bits together, a proof at most 262144"):
        EncryptionStatement((bytes(48),) * count, key, masks, bodies, (32,) * count, 31, CONTEXT, noise_bits=30)


def test_a_statement_keeps_the_words_that_were_checked(encryption: Case) -> None:
    with pytest.raises(ValueError, match="read-only"):
        encryption.statement.masks[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        encryption.statement.bodies[0] = 1
