"""From our statements and proofs to what `MarginVerifier` takes, and what it returns for them. Anyone may call it.

The layout is in contracts/solidity/MarginVerifier.sol and in docs/chain.md. Points are decoded by a group backend, with
all its checks, and sent uncompressed, because a contract cannot take square roots at any sensible price.

>>> import numpy
>>> from atomic_margin.zk.pinned import VALUE_BASE
>>> from atomic_margin.zk.statements.breach import BreachStatement
>>> statement = BreachStatement((bytes.fromhex(VALUE_BASE),), numpy.array([[-3], [2]]), (1, 0), 20, {"run": "1"})
>>> data = statement_calldata(statement)
>>> data[:14].hex(), len(data)
('0014000000000000000000020001', 153)
>>> expected(statement).rows
2
"""

import hashlib
from dataclasses import dataclass

from atomic_margin.contracts.errors import CalldataError
from atomic_margin.contracts.points import uncompressed
from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.zk.bits.parameters import CHUNKS, ONE_CHUNK_BITS, BitParameters
from atomic_margin.zk.bits.proof import BitProof
from atomic_margin.zk.choice import ChoiceProof
from atomic_margin.zk.commitments import decode_commitments
from atomic_margin.zk.groups import POINT_BYTES, Group, load_group
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.breach import split

Verifiable = SufficiencyStatement | BreachStatement

PARTIAL_BITS = CHUNKS * ONE_CHUNK_BITS
"""Most bits, rows times bits, that `PartialVerifier` takes: proofs in chunks, of the generators that are on chain."""


@dataclass(frozen=True)
class Checked:
    """What the contract returns of a proof that holds, in the order of its struct.

    Attributes:
        context: SHA-256 of the context in canonical JSON.
        commitments: SHA-256 of the compressed commitments, in order.
        matrix: SHA-256 of rows and entries (two bytes each), A row by row and c (eight bytes a number), big-endian.
        top_up: X in the matrix's unit, 0 for a breach.
        rows: of A.
        bits: of a surplus or shortfall.
    """

    context: bytes
    commitments: bytes
    matrix: bytes
    top_up: int
    rows: int
    bits: int


def expected(statement: Verifiable, *, most_bits: int = ONE_CHUNK_BITS) -> Checked:
    """Return what the contract says of a proof of ``statement`` that holds.

    Args:
        statement: what is proven.
        most_bits: that the contract takes: `PARTIAL_BITS` where it is `PartialVerifier`.

    Raises:
        CalldataError: the contract does not verify such a statement.
    """
    _check(statement, most_bits)
    return Checked(
        context=hashlib.sha256(canonical_bytes(statement.context)).digest(),
        commitments=hashlib.sha256(b"".join(statement.commitments)).digest(),
        matrix=hashlib.sha256(_matrix(statement)).digest(),
        top_up=_top_up(statement),
        rows=statement.rows,
        bits=statement.bits,
    )


def statement_calldata(statement: Verifiable, group: Group | None = None, *, most_bits: int = ONE_CHUNK_BITS) -> bytes:
    """Return ``statement`` as the contract takes it; ``most_bits`` as for `expected`.

    Raises:
        CalldataError: the contract does not verify such a statement.
        PointEncodingError: a commitment does not decode.
    """
    _check(statement, most_bits)
    decode_commitments(group or load_group(), statement.commitments)
    return b"".join(
        (
            statement.bits.to_bytes(2, "big"),
            _top_up(statement).to_bytes(8, "big"),
            _matrix(statement),
            *map(uncompressed, statement.commitments),
            canonical_bytes(statement.context),
        )
    )


def proof_calldata(
    statement: Verifiable, proof: bytes, group: Group | None = None, *, most_bits: int = ONE_CHUNK_BITS
) -> bytes:
    """Return a proof of ``statement`` as the contract takes it, whether it holds or not; ``most_bits`` as above.

    Raises:
        CalldataError: the contract does not verify such a statement.
        ProofEncodingError: the proof has another length or version.
        PointEncodingError: a component of the proof does not decode.
    """
    _check(statement, most_bits)
    group = group or load_group()
    if isinstance(statement, SufficiencyStatement):
        return _bit_proof(proof, BitParameters.for_bits(statement.rows * statement.bits), group)
    choice_data, bit_data = split(statement, proof)
    choice = ChoiceProof.from_bytes(choice_data, statement.rows)
    points = _points((choice.W, *choice.announcements), group)
    head = proof[:1] + points + b"".join((*choice.shares, *choice.responses))
    return head + _bit_proof(bit_data, statement.parameters, group)


def _bit_proof(data: bytes, parameters: BitParameters, group: Group) -> bytes:
    proof = BitProof.from_bytes(data, parameters)
    # Several where bits are in chunks.
    vectors = [proof.A[start : start + POINT_BYTES] for start in range(0, len(proof.A), POINT_BYTES)]
    points = _points([*vectors, proof.S, *proof.crosses, proof.T1, proof.T2], group)
    head = data[:1] + points + proof.t_hat + proof.tau_x + proof.mu
    return head + _points([point for fold in proof.folds for point in fold], group) + proof.tail


def _points(points: "list[bytes] | tuple[bytes, ...]", group: Group) -> bytes:
    for point in points:
        group.decode_point(point)
    return b"".join(map(uncompressed, points))


def _matrix(statement: Verifiable) -> bytes:
    sizes = statement.rows.to_bytes(2, "big") + len(statement.commitments).to_bytes(2, "big")
    offsets = b"".join(offset.to_bytes(8, "big", signed=True) for offset in statement.offsets)
    return sizes + statement.weights.astype(">i8").tobytes() + offsets


def _top_up(statement: Verifiable) -> int:
    return statement.top_up if isinstance(statement, SufficiencyStatement) else 0


def _check(statement: Verifiable, most_bits: int) -> None:
    if isinstance(statement, BreachStatement):
        return
    if statement.slack_widths:
        raise CalldataError("the contract verifies no slack: prove sufficiency by conservative rows for the chain")
    if set(statement.top_up_counts) != {1}:
        raise CalldataError("the contract counts a top-up once in every row: leave top_up_weights out")
    bits = statement.rows * statement.bits
    if bits > most_bits:
        raise CalldataError(
            f"{statement.rows} rows of {statement.bits} bits are {bits} bits, and the contract verifies up to "
            f"{most_bits}: coarsen the unit, or verify off chain (docs/chain.md says which contract takes more)"
        )
