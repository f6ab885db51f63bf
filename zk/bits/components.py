"""Decode the components of a proof, naming the one that fails. For the modules that verify.

>>> from atomic_margin.zk.groups import load_group
>>> proof_scalar(load_group("auto"), "mu", bytes([255] * 32))
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: proof component mu: a scalar is below the group order
"""

from atomic_margin.zk.errors import EncodingError, ProofEncodingError
from atomic_margin.zk.groups import Group, Point, Scalar


def proof_point(group: Group, name: str, data: bytes) -> Point:
    """Return the point of component ``name``.

    Raises:
        ProofEncodingError: it is not canonical, not in the subgroup, or the identity.
    """
    try:
        return group.decode_point(data)
    except EncodingError as error:
        raise ProofEncodingError(f"proof component {name}: {error}") from None


def proof_scalar(group: Group, name: str, data: bytes) -> Scalar:
    """Return the scalar of component ``name``.

    Raises:
        ProofEncodingError: it is not canonical.
    """
    try:
        return group.decode_scalar(data)
    except EncodingError as error:
        raise ProofEncodingError(f"proof component {name}: {error}") from None
