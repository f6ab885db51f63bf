"""The CFRG sigma-protocol vectors, run by a small verifier written here on our group interface.

They come from outside and cover what the bit argument shares with every such proof: encodings, challenges reduced from
48 bytes, linear relations between points, and the many ways a verifier can be too lenient.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from atomic_margin.zk.errors import EncodingError, ProofError
from atomic_margin.zk.groups import ORDER, POINT_BYTES, SCALAR_BYTES, Group, Point, Scalar

from ..outside import outside

pytestmark = pytest.mark.long

FILES = {
    "sigma-proofs_Shake128_BLS12381.json": 14,
    "sigma-proofs-invalid_Shake128_BLS12381.json": 32,
}
BLOCK = bytes(136)


class Refused(ProofError):
    """The vector's proof does not verify."""


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, size: int) -> bytes:
        if self.position + size > len(self.data):
            raise Refused("too short")
        self.position += size
        return self.data[self.position - size : self.position]

    def counter(self) -> int:
        return int.from_bytes(self.take(4), "little")


def shake(*parts: bytes) -> bytes:
    return hashlib.shake_128(b"".join(parts)).digest(48)


def verify(group: Group, record: dict[str, Any]) -> None:
    session = shake(b"irtf-cfrg-fiat-shamir/session-id", BLOCK, record["Tag"].encode())[:32]
    assert record.get("SessionId", session.hex()) == session.hex()
    instance = bytes.fromhex(record["Instance"])
    proof = Reader(bytes.fromhex(record["NargString"]))
    reader = Reader(instance)
    equations: list[tuple[list[tuple[int, Scalar]], list[tuple[int, int, Scalar]]]] = []
    for _ in range(reader.counter()):
        image = [(reader.counter(), group.decode_scalar(reader.take(SCALAR_BYTES))) for _ in range(reader.counter())]
        terms = [
            (reader.counter(), reader.counter(), group.decode_scalar(reader.take(SCALAR_BYTES)))
            for _ in range(reader.counter())
        ]
        equations.append((image, terms))
    used = {index for image, terms in equations for index in [i for i, _ in image] + [i for _, i, _ in terms]}
    highest = max(used)
    if not set(range(1, highest + 1)) <= used:
        raise Refused("an element is never used")
    generator = bytes.fromhex(
        "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    )
    elements = [group.decode_point(generator)]
    elements += [group.decode_point(reader.take(POINT_BYTES)) for _ in range(highest)]
    if reader.position != len(instance):
        raise Refused("trailing bytes in the instance")
    scalars = {index for _, terms in equations for index, _, _ in terms}
    if scalars != set(range(len(scalars))):
        raise Refused("a scalar is never used")
    for scalar in scalars:
        if not _appears(group, equations, elements, scalar):
            raise Refused("all terms of a scalar vanish")
    images = [group.msm([elements[i] for i, _ in image], [c for _, c in image]) for image, _ in equations]
    if any(image == group.identity() for image in images):
        raise Refused("an image is the identity")

    def mapped(responses: list[Scalar]) -> Iterator[Point]:
        for _, terms in equations:
            yield group.msm([elements[i] for _, i, _ in terms], [responses[s] * c for s, _, c in terms])

    if record["Flavor"] == "batchable":
        encoded = [proof.take(POINT_BYTES) for _ in equations]
        commitments = [group.decode_point(data) for data in encoded]
        challenge = _challenge(group, session, instance, b"".join(encoded))
    else:
        challenge = group.decode_scalar(proof.take(SCALAR_BYTES))
    responses = [group.decode_scalar(proof.take(SCALAR_BYTES)) for _ in scalars]
    if proof.position != len(proof.data):
        raise Refused("trailing bytes in the proof")
    expected = [
        value - group.multiply(image, challenge) for value, image in zip(mapped(responses), images, strict=True)
    ]
    if record["Flavor"] == "batchable":
        if expected != commitments:
            raise Refused("an equation does not hold")
        return
    if any(point == group.identity() for point in expected):
        raise Refused("a commitment is the identity")
    if _challenge(group, session, instance, b"".join(map(group.encode_point, expected))) != challenge:
        raise Refused("the challenge does not come from the commitments")


def _appears(group: Group, equations: list[Any], elements: list[Point], scalar: int) -> bool:
    for _, terms in equations:
        mine = [(elements[i], c) for s, i, c in terms if s == scalar]
        if group.msm([point for point, _ in mine], [c for _, c in mine]) != group.identity():
            return True
    return False


def _challenge(group: Group, session: bytes, instance: bytes, commitments: bytes) -> Scalar:
    return group.scalar(int.from_bytes(shake(session, BLOCK, instance, commitments), "little") % ORDER)


@pytest.mark.parametrize("name", FILES)
def test_outside_sigma_proofs(backend: Group, name: str) -> None:
    records = json.loads((outside("cfrg_sigma") / name).read_text())
    assert len(records) == FILES[name]
    for record in records:
        if record["Expected"] == "accept":
            verify(backend, record)
        else:
            with pytest.raises((Refused, EncodingError)):
                verify(backend, record)
