"""Verify breach proofs. Anyone may call it, but only after `verify_portfolio` on the same commitments.

>>> import numpy
>>> statement = BreachStatement((bytes(48),), numpy.array([[-3]]), (1,), 10, {"institution": "fund"})
>>> verify_breach(statement, b"")
Traceback (most recent call last):
    ...
atomic_margin.zk.errors.ProofEncodingError: a breach proof about 1 row and 10 bits is 1058 bytes, got 0
"""

from dataclasses import replace

from atomic_margin.zk.bits.combine import combine
from atomic_margin.zk.bits.components import proof_point, proof_scalar
from atomic_margin.zk.bits.final import FinalCheck
from atomic_margin.zk.bits.proof import require_version
from atomic_margin.zk.bits.verify import gather
from atomic_margin.zk.choice import ChoiceProof, choice_bytes, choice_challenge, last_share
from atomic_margin.zk.commitments import decode_commitments
from atomic_margin.zk.errors import BreachProofInvalid, ProofEncodingError
from atomic_margin.zk.groups import Group, Point, load_group
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.transcript import Transcript
from atomic_margin.zk.vectors import inner, powers, times
from atomic_margin.zk.verify.conclude import conclude

PROOF_VERSION = 3


def verify_breach(statement: BreachStatement, proof: bytes, group: Group | None = None) -> None:
    """Check that ``proof`` shows some row to be in [-2^bits, 0); returning means it does.

    Unsound without a verified portfolio proof on the same commitments: entries could be out of range.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        BreachProofInvalid: the proof does not prove the statement.
    """
    conclude(gather_breach(statement, proof, group := group or load_group()), group, BreachProofInvalid)


def gather_breach(
    statement: BreachStatement, proof: bytes, group: Group, known: dict[bytes, Point] | None = None
) -> FinalCheck:
    """Do everything but the multiplication, for a batch; ``known`` are commitments decoded before.

    Raises:
        ProofEncodingError: the proof has the wrong length or version, or a component does not decode.
        PointEncodingError: a commitment of the statement does not decode.
        BreachProofInvalid: a share of the challenge is zero.
    """
    known = {} if known is None else known
    # (1) Lengths and version, before any point is touched.
    choice_data, bit_data = split(statement, proof)
    choice = ChoiceProof.from_bytes(choice_data, statement.rows)

    # (2) Points and scalars: canonical, in the subgroup, not the identity.
    W = known[choice.W] = proof_point(group, "W", choice.W)
    announcements = [proof_point(group, f"T of row {r}", T) for r, T in enumerate(choice.announcements)]
    shares = [proof_scalar(group, f"share of row {r}", share) for r, share in enumerate(choice.shares)]
    responses = [proof_scalar(group, f"response of row {r}", z) for r, z in enumerate(choice.responses)]
    commitments = decode_commitments(group, statement.commitments, known)

    # (3) The shares add up to the challenge, and none is zero.
    challenge = choice_challenge(statement.binding(), choice.W, choice.announcements)
    shares.append(group.scalar(last_share(challenge, map(group.integer, shares))))
    if 0 in map(group.integer, shares):
        raise BreachProofInvalid("a share of the challenge is zero: the proof is refused; prove again")

    # (4) -W - 1 fits its bits. This part's transcript holds every byte of the other's.
    bits = gather(statement.bit_statement(choice.W, choice_data), bit_data, group, known)

    # (5) Row r, times delta^(r+1):  z_r H - T_r - e_r W + e_r (sum_j A_rj V_j + c_r G) = 0.
    delta = row_challenge(bits.fingerprint)
    row_weights = powers(group, group.scalar(delta), statement.rows + 1)[1:]
    weighted = times(row_weights, shares)
    entries = combine([group.integer(weight) for weight in weighted], statement.weights)
    return replace(
        bits,
        value=bits.value + inner(group, weighted, group.scalars(statement.offsets)),
        blinding=bits.blinding + inner(group, row_weights, responses),
        scalars=[
            *bits.scalars,
            *(-weight for weight in row_weights),
            -sum(weighted, group.scalar(0)),
            *group.scalars(entries),
        ],
        points=[*bits.points, *announcements, W, *commitments],
    )


def split(statement: BreachStatement, proof: bytes) -> tuple[bytes, bytes]:
    """Return the two parts of a proof after its version byte: the choice among the rows, and the bit proof.

    Raises:
        ProofEncodingError: the length or the version is not what ``statement`` calls for.
    """
    if not isinstance(proof, bytes):
        raise ProofEncodingError(f"a proof is bytes, got {type(proof).__name__}")
    first = 1 + choice_bytes(statement.rows)
    size = first + statement.parameters.proof_bytes
    if len(proof) != size:
        rows = f"{statement.rows} row{'s' * (statement.rows > 1)}"
        raise ProofEncodingError(
            f"a breach proof about {rows} and {statement.bits} bits is {size} bytes, got {len(proof)}"
        )
    require_version(proof[0], PROOF_VERSION)
    return proof[1:first], proof[first:]


def row_challenge(fingerprint: bytes) -> int:
    """Return the challenge whose powers weigh the rows: it answers every byte of statement and proof."""
    transcript = Transcript("breach rows", [("version", bytes([PROOF_VERSION]))])
    transcript.absorb("fingerprint", fingerprint)
    return transcript.challenge("delta")
