"""Share the openings of commitments. For the institution; and, with shares in place of entries, for custodians.

Every entry z_i with blinding gamma_i gets two random polynomials of degree t - 1, f_i with f_i(0) = z_i and g_i with
g_i(0) = gamma_i. The custodian at point x has f_i(x) and g_i(x). Commitments to the coefficients are public; the one to
the constant coefficients is V_i itself.

Source: Pedersen, *Non-interactive and information-theoretic secure verifiable secret sharing* (1991).

>>> from atomic_margin.zk.prove.commit import commit_values
>>> from atomic_margin.zk.sharing.check import check_shares
>>> from atomic_margin.zk.sharing.statement import Custodian
>>> context = {"institution": "fund", "submission": "1"}
>>> V, blindings = commit_values((3, 1), bytes(32), context)
>>> custodians = tuple(Custodian(point, bytes([point]) * 32) for point in (1, 2, 3, 4))
>>> deal, shares = deal_shares(SharingStatement(V, 2, custodians, context), SharingWitness((3, 1), blindings))
>>> check_shares(deal, shares[3], custodian=4)
"""

import hashlib
from dataclasses import dataclass

from atomic_margin.zk.bits.witness import check_openings
from atomic_margin.zk.groups import ORDER, SCALAR_BYTES, Group, load_group
from atomic_margin.zk.prove.nonces import NonceStream
from atomic_margin.zk.prove.openings import commit_all
from atomic_margin.zk.prove.witness import EntryWitness
from atomic_margin.zk.sharing.interpolation import evaluate
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.statement import SharingStatement


@dataclass(frozen=True)
class SharingWitness(EntryWitness):
    """Openings of a sharing statement's commitments."""


def deal_shares(
    statement: SharingStatement, witness: SharingWitness, group: Group | None = None
) -> tuple[Deal, tuple[Shares, ...]]:
    """Return a fresh deal and each custodian's shares, in the statement's order.

    Two deals about one statement have nothing in common: shares of one are worth nothing with those of the other.

    Raises:
        WitnessError: naming the commitment that does not open.
        PointEncodingError: a commitment does not decode.
    """
    group = group or load_group()
    witness.check_count(statement.entries)
    check_openings(statement.commitments, witness.values, witness.blindings, group)
    return deal_out(statement, witness, group)


def deal_out(statement: SharingStatement, witness: SharingWitness, group: Group) -> tuple[Deal, tuple[Shares, ...]]:
    """Deal without looking: what does not open the commitments gives shares that no custodian accepts."""
    numbers = (*witness.values, *witness.blindings)
    secret = hashlib.sha512(b"".join((number % ORDER).to_bytes(SCALAR_BYTES, "big") for number in numbers)).digest()
    nonces = NonceStream(secret, *(data for _, data in statement.binding()))
    degrees = [
        (nonces.integers(statement.entries), nonces.integers(statement.entries)) for _ in range(statement.threshold - 1)
    ]
    on_values, on_blindings = zip(*degrees, strict=True)
    deal = Deal(statement, tuple(commit_all(group, *degree) for degree in degrees))
    values = list(zip(witness.values, *on_values, strict=True))
    blindings = list(zip(witness.blindings, *on_blindings, strict=True))
    return deal, tuple(
        Shares(
            point,
            deal.hash,
            tuple(evaluate(polynomial, point) for polynomial in values),
            tuple(evaluate(polynomial, point) for polynomial in blindings),
        )
        for point in statement.points
    )
