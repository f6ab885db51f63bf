"""Whatever is changed in a proof of any statement, the verifier refuses with a named error. One statement at a time."""

import itertools
from typing import Any

import pytest

from atomic_margin.zk import generators as generators_module
from atomic_margin.zk.errors import EncodingError, ProofEncodingError, VerificationError
from atomic_margin.zk.groups import ORDER, Group

from .conftest import Case
from .kinds import KINDS, NEW, Kind, components

pytestmark = pytest.mark.long


@pytest.fixture(params=NEW)
def made(request: pytest.FixtureRequest) -> tuple[Case, Kind]:
    return request.getfixturevalue(request.param), KINDS[request.param]


def replaced(proof: bytes, start: int, data: bytes) -> bytes:
    return proof[:start] + data + proof[start + len(data) :]


def swapped(proof: bytes, first: int, second: int, size: int) -> bytes:
    one, two = proof[first : first + size], proof[second : second + size]
    return replaced(replaced(proof, first, two), second, one)


def test_the_components_make_up_the_proof(made: tuple[Case, Kind], backend: Group) -> None:
    case, kind = made
    name, start, size = components(case.statement)[-1]
    assert name.startswith("s right")
    assert start + size == len(case.proof)
    kind.verify(case.statement, case.proof, backend)


def test_truncated_at_every_byte_and_one_byte_more(made: tuple[Case, Kind], group: Group) -> None:
    case, kind = made
    for proof in (*(case.proof[:length] for length in range(len(case.proof))), case.proof + b"\x00", case.proof * 2):
        with pytest.raises(ProofEncodingError, match=f"got {len(proof)}$"):
            kind.verify(case.statement, proof, group)


def test_other_versions_and_types(made: tuple[Case, Kind], group: Group) -> None:
    case, kind = made
    for version, said in ((0, "unknown"), (1, "retired: its transcript was"), (2, "retired"), (255, "unknown")):
        with pytest.raises(ProofEncodingError, match=f"version {version} is {said}"):
            kind.verify(case.statement, bytes([version]) + case.proof[1:], group)
    for proof in (None, case.proof.hex(), bytearray(case.proof)):
        with pytest.raises(ProofEncodingError, match="a proof is bytes"):
            kind.verify(case.statement, proof, group)


def test_every_point(made: tuple[Case, Kind], group: Group) -> None:
    case, kind = made
    other = group.encode_point(group.hash_to_point(b"other", b"test"))
    points = [(name, start) for name, start, _ in components(case.statement) if name.startswith("p ")]
    for _, start in points:
        for data in (bytes([case.proof[start] ^ 0x20]), other):
            with pytest.raises(kind.invalid):
                kind.verify(case.statement, replaced(case.proof, start, data), group)
        with pytest.raises(ProofEncodingError, match="identity"):
            kind.verify(case.statement, replaced(case.proof, start, bytes([0xC0]) + bytes(47)), group)
        # No compression flag; off the subgroup (x = 4 is on the curve, not in the subgroup); not on the curve.
        for data in (bytes([case.proof[start] & 0x7F]), bytes([0x80]) + bytes(46) + b"\x04", bytes([0x9F]) * 48):
            with pytest.raises(ProofEncodingError, match="proof component"):
                kind.verify(case.statement, replaced(case.proof, start, data), group)
    for (_, first), (_, second) in itertools.pairwise(points):
        with pytest.raises(kind.invalid):
            kind.verify(case.statement, swapped(case.proof, first, second, 48), group)


@pytest.mark.long
def test_every_scalar(made: tuple[Case, Kind], group: Group) -> None:
    case, kind = made
    scalars = [(name, start) for name, start, _ in components(case.statement) if name.startswith("s ")]
    for name, start in scalars:
        value = int.from_bytes(case.proof[start : start + 32], "big")
        # The many elements of the two tails are alike: one change of each will do.
        changes = ((value + 1) % ORDER, (value - 1) % ORDER, 0, ORDER - value)
        for other in changes[: 1 if "[" in name else 4]:
            with pytest.raises(kind.invalid):
                kind.verify(case.statement, replaced(case.proof, start, other.to_bytes(32, "big")), group)
        for other in (min(value + ORDER, 2**256 - 1), ORDER, 2**256 - 1):
            with pytest.raises(ProofEncodingError, match="a scalar is below the group order"):
                kind.verify(case.statement, replaced(case.proof, start, other.to_bytes(32, "big")), group)
    for (_, first), (_, second) in itertools.pairwise(scalars):
        with pytest.raises(kind.invalid):
            kind.verify(case.statement, swapped(case.proof, first, second, 32), group)


@pytest.mark.long
def test_a_flipped_bit_in_every_component(made: tuple[Case, Kind], group: Group) -> None:
    case, kind = made
    for name, start, size in components(case.statement):
        places = {start, start + size // 2, start + size - 1}
        for position, bit in itertools.product({start} if "[" in name else places, (0x01, 0x80)):
            with pytest.raises((ProofEncodingError, kind.invalid)):
                kind.verify(case.statement, replaced(case.proof, position, bytes([case.proof[position] ^ bit])), group)


def test_proofs_of_other_statements(made: tuple[Case, Kind], group: Group, request: pytest.FixtureRequest) -> None:
    case, kind = made
    for name in KINDS:
        other = request.getfixturevalue(name)
        if other is not case:
            with pytest.raises((EncodingError, VerificationError)):
                kind.verify(case.statement, other.proof, group)


def test_the_protocol_version_and_the_generators(
    made: tuple[Case, Kind], group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, kind = made
    for name, value in (
        ("atomic_margin.zk.statements.checks.PROTOCOL_VERSION", "1"),
        ("atomic_margin.zk.bits.challenges.generators_hash", lambda: "00" * 32),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            with pytest.raises(kind.invalid):
                kind.verify(case.statement, case.proof, group)
    kind.verify(case.statement, case.proof, group)


class Untouchable:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"group.{name} was used before the sizes were checked")


def test_sizes_are_checked_before_points_and_generators(
    made: tuple[Case, Kind], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, kind = made
    monkeypatch.setattr(generators_module, "derive_block", None)
    for proof in (b"", bytes(50_000_000), case.proof[:-1], b"\x07" + case.proof[1:]):
        with pytest.raises(ProofEncodingError):
            kind.verify(case.statement, proof, Untouchable())
