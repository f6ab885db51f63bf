"""A proof has one encoding; whatever is changed in it, the verifier refuses."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from atomic_margin.zk import (
    BreachStatement,
    DecryptionStatement,
    KeyCommitments,
    PortfolioStatement,
    SufficiencyStatement,
    verify_portfolio,
    verify_sufficiency,
)
from atomic_margin.zk import generators as generators_module
from atomic_margin.zk.bits.parameters import ONE_CHUNK_BITS, BitParameters
from atomic_margin.zk.bits.proof import PROOF_VERSION, BitProof
from atomic_margin.zk.errors import PortfolioProofInvalid, ProofEncodingError, StatementError
from atomic_margin.zk.groups import ORDER, POINT_BYTES, SCALAR_BYTES, Group

from .conftest import Case


def components(parameters: BitParameters) -> Iterator[tuple[str, int, int]]:
    """Name, start and size of every component, in the order of the format."""
    names = ["A", "S", "T1", "T2", "t_hat", "tau_x", "mu"]
    names += [f"{side}{k}" for k in range(parameters.rounds) for side in "LR"]
    names += [f"{side}[{k}]" for side in ("left", "right") for k in range(parameters.tail)]
    start = 1
    for name in names:
        size = POINT_BYTES if name[0] in "ASTLR" else SCALAR_BYTES
        yield name, start, size
        start += size
    assert start == parameters.proof_bytes


@pytest.fixture(scope="module")
def layout(portfolio: Case) -> list[tuple[str, int, int]]:
    return list(components(portfolio.statement.bit_statement().parameters))


def replaced(proof: bytes, start: int, data: bytes) -> bytes:
    return proof[:start] + data + proof[start + len(data) :]


def scalars(layout: list[tuple[str, int, int]]) -> list[tuple[str, int]]:
    return [(name, start) for name, start, size in layout if size == SCALAR_BYTES]


def points(layout: list[tuple[str, int, int]]) -> list[tuple[str, int]]:
    return [(name, start) for name, start, size in layout if size == POINT_BYTES]


def test_a_proof_is_cut_and_joined_without_loss(portfolio: Case) -> None:
    parameters = portfolio.statement.bit_statement().parameters
    assert parameters.rounds >= 2
    assert BitProof.from_bytes(portfolio.proof, parameters).to_bytes() == portfolio.proof


def test_truncated_at_every_byte(portfolio: Case, group: Group) -> None:
    for length in range(len(portfolio.proof)):
        with pytest.raises(ProofEncodingError, match=f"got {length}$"):
            verify_portfolio(portfolio.statement, portfolio.proof[:length], group)


def test_one_byte_more_or_moved(portfolio: Case, group: Group) -> None:
    for proof in (portfolio.proof + b"\x00", b"\x01" + portfolio.proof, portfolio.proof * 2):
        with pytest.raises(ProofEncodingError):
            verify_portfolio(portfolio.statement, proof, group)


@pytest.mark.parametrize("version", [0, 4, 127, 255])
def test_unknown_versions(portfolio: Case, group: Group, version: int) -> None:
    with pytest.raises(ProofEncodingError, match=f"version {version} is unknown"):
        verify_portfolio(portfolio.statement, bytes([version]) + portfolio.proof[1:], group)


def test_other_types_than_bytes(portfolio: Case, group: Group) -> None:
    for proof in (None, portfolio.proof.hex(), bytearray(portfolio.proof), list(portfolio.proof)):
        with pytest.raises(ProofEncodingError, match="a proof is bytes"):
            verify_portfolio(portfolio.statement, proof, group)  # type: ignore[arg-type]


def test_a_flipped_bit_in_every_component(portfolio: Case, group: Group, layout: list[tuple[str, int, int]]) -> None:
    for _, start, size in layout:
        for position, bit in itertools.product((start, start + size // 2, start + size - 1), (0x01, 0x80)):
            proof = replaced(portfolio.proof, position, bytes([portfolio.proof[position] ^ bit]))
            with pytest.raises((ProofEncodingError, PortfolioProofInvalid)):
                verify_portfolio(portfolio.statement, proof, group)


@pytest.mark.long
def test_every_scalar_off_by_one_zeroed_or_negated(
    portfolio: Case, group: Group, layout: list[tuple[str, int, int]]
) -> None:
    for name, start in scalars(layout):
        value = int.from_bytes(portfolio.proof[start : start + SCALAR_BYTES], "big")
        for other in ((value + 1) % ORDER, (value - 1) % ORDER, 0, ORDER - value, ORDER - 1):
            proof = replaced(portfolio.proof, start, other.to_bytes(SCALAR_BYTES, "big"))
            with pytest.raises(PortfolioProofInvalid):
                verify_portfolio(portfolio.statement, proof, group)
            assert proof != portfolio.proof, name


def test_every_scalar_beyond_the_order(portfolio: Case, group: Group, layout: list[tuple[str, int, int]]) -> None:
    for name, start in scalars(layout):
        value = int.from_bytes(portfolio.proof[start : start + SCALAR_BYTES], "big")
        # The same residue in its other spelling, if 32 bytes have room for it, and the extremes.
        for other in {min(value + ORDER, 2**256 - 1), ORDER, 2**256 - 1}:
            proof = replaced(portfolio.proof, start, other.to_bytes(SCALAR_BYTES, "big"))
            with pytest.raises(ProofEncodingError, match=r"proof component .*: a scalar is below the group order"):
                verify_portfolio(portfolio.statement, proof, group)
            assert proof != portfolio.proof, name


def test_every_point_negated_or_replaced(portfolio: Case, group: Group, layout: list[tuple[str, int, int]]) -> None:
    other = group.encode_point(group.hash_to_point(b"other", b"test"))
    for _, start in points(layout):
        negated = bytes([portfolio.proof[start] ^ 0x20])
        for data in (negated, other):
            with pytest.raises(PortfolioProofInvalid):
                verify_portfolio(portfolio.statement, replaced(portfolio.proof, start, data), group)


def test_every_pair_of_points_swapped(portfolio: Case, group: Group, layout: list[tuple[str, int, int]]) -> None:
    proof = portfolio.proof
    for (_, first), (_, second) in itertools.combinations(points(layout), 2):
        swapped = replaced(proof, first, proof[second : second + POINT_BYTES])
        swapped = replaced(swapped, second, proof[first : first + POINT_BYTES])
        with pytest.raises(PortfolioProofInvalid):
            verify_portfolio(portfolio.statement, swapped, group)


def test_neighbouring_scalars_swapped(portfolio: Case, group: Group, layout: list[tuple[str, int, int]]) -> None:
    proof = portfolio.proof
    for (_, first), (_, second) in itertools.pairwise(scalars(layout)):
        swapped = replaced(proof, first, proof[second : second + SCALAR_BYTES])
        swapped = replaced(swapped, second, proof[first : first + SCALAR_BYTES])
        with pytest.raises(PortfolioProofInvalid):
            verify_portfolio(portfolio.statement, swapped, group)


def test_malformed_points_in_a_proof(portfolio: Case, backend: Group, encodings: list[dict[str, Any]]) -> None:
    records = encodings
    bad = [bytes.fromhex(r["hex"]) for r in records if r["kind"] == "g1" and not r["valid"]]
    bad = [data for data in bad if len(data) == POINT_BYTES]
    assert len(bad) > 50
    for data in [*bad, bytes([0xC0]) + bytes(47)]:
        with pytest.raises(ProofEncodingError, match="proof component A: "):
            verify_portfolio(portfolio.statement, replaced(portfolio.proof, 1, data), backend)


def test_the_identity_in_place_of_every_point(
    portfolio: Case, group: Group, layout: list[tuple[str, int, int]]
) -> None:
    for _, start in points(layout):
        with pytest.raises(ProofEncodingError, match="identity"):
            verify_portfolio(portfolio.statement, replaced(portfolio.proof, start, bytes([0xC0]) + bytes(47)), group)


def test_all_zero_proofs(portfolio: Case, group: Group, layout: list[tuple[str, int, int]]) -> None:
    with pytest.raises(ProofEncodingError):
        verify_portfolio(portfolio.statement, bytes([PROOF_VERSION]) + bytes(len(portfolio.proof) - 1), group)
    proof = portfolio.proof
    for _, start in scalars(layout):
        proof = replaced(proof, start, bytes(SCALAR_BYTES))
    with pytest.raises(PortfolioProofInvalid):
        verify_portfolio(portfolio.statement, proof, group)


class Untouchable:
    """A group that must not be used."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"group.{name} was used before the sizes were checked")


def test_sizes_are_checked_before_points_and_generators(
    portfolio: Case, sufficiency: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators_module, "derive_block", None)
    group: Any = Untouchable()
    for proof in (b"", bytes(100_000_000), portfolio.proof[:-1], b"\x02" + portfolio.proof[1:]):
        with pytest.raises(ProofEncodingError):
            verify_portfolio(portfolio.statement, proof, group)
        with pytest.raises(ProofEncodingError):
            verify_sufficiency(sufficiency.statement, proof, group)


@pytest.mark.parametrize("count", [8193, 10**6])
def test_huge_portfolios_are_refused_at_once(count: int) -> None:
    one = (1,) * count
    with pytest.raises(StatementError, match=f"1 to 4096 entries, got {count} commitments"):
        PortfolioStatement((bytes(48),) * count, one, one, 100, {"run": "1"})
    with pytest.raises(StatementError, match=f"1 to 8192 entries, got {count} commitments"):
        SufficiencyStatement((bytes(48),) * count, np.zeros((1, 1), dtype=np.int64), (0,), 0, 8, {"run": "1"})


def test_only_a_sufficiency_statement_joins_two_books() -> None:
    two, one = (bytes(48),) * 8192, (1,) * 4097
    weights = np.ones((1, 8192), dtype=np.int64)
    assert SufficiencyStatement(two, weights, (0,), 0, 48, {"run": "1"}).bit_statement().parameters.bits == 48
    with pytest.raises(StatementError, match="1 to 4096 entries, got 4097 commitments"):
        PortfolioStatement(two[:4097], one, one, 100, {"run": "1"})
    with pytest.raises(StatementError, match="1 to 4096 entries, got 8192 commitments"):
        BreachStatement(two, weights, (0,), 48, {"run": "1"})


def test_huge_matrices_are_refused_at_once() -> None:
    commitments, offsets = (bytes(48),) * 4096, (0,) * 256
    weights = np.zeros((256, 4096), dtype=np.int64)
    SufficiencyStatement(commitments, weights, offsets, 0, 8, {"run": "1"})
    more = np.zeros((257, 4096), dtype=np.int64)
    with pytest.raises(StatementError, match="at most 1048576 entries, got 257 x 4096"):
        SufficiencyStatement(commitments, more, (0,) * 257, 0, 8, {"run": "1"})


def test_too_many_bits_are_refused_at_once() -> None:
    key = KeyCommitments(64, (bytes(48),))
    masks, bodies = np.zeros((4096, 64), dtype=np.uint64), np.zeros(4096, dtype=np.uint64)
    with pytest.raises(StatementError, match="278592 bits together, a proof at most 262144"):
        DecryptionStatement(key, masks, bodies, (0,) * 4096, {"run": "1"})
    # What a profile may have at most is below the limit.
    widest = PortfolioStatement((bytes(48),) * 4096, (32,) * 4096, (1,) * 4096, 2**63 - 1, {"run": "1"})
    assert widest.bit_statement().parameters.bits == 4096 * 32 + 63


@pytest.mark.parametrize(("bits", "rounds"), [(0, 0), (-1, 0), (16385, 0), (8, -1), (8, 13), (10**30, 6), (16384, 13)])
def test_parameters_have_limits(bits: int, rounds: int) -> None:
    with pytest.raises(StatementError):
        BitParameters(bits, rounds)


def test_parameters_of_one_chunk_follow_from_the_number_of_bits() -> None:
    for bits in range(1, ONE_CHUNK_BITS + 1, 37):
        parameters = BitParameters.for_bits(bits)
        assert bits <= parameters.padded < bits + (1 << parameters.rounds)
        assert dataclasses.replace(parameters) == parameters
