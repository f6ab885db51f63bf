"""The secret side of a bit statement. Prover only.

>>> BitWitness(bits=(1, 0), values=(1,), blindings=(5,))
BitWitness()
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from atomic_margin.zk.bits.statement import BitStatement
from atomic_margin.zk.commitments import decode_commitments
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER, SCALAR_BYTES, Group
from atomic_margin.zk.prove.nonces import NonceStream
from atomic_margin.zk.prove.openings import TABLE_FROM, commit_all
from atomic_margin.zk.vectors import inner


@dataclass(frozen=True)
class BitWitness:
    """Bits, and the openings of the statement's commitments. Nothing of it appears in its ``repr``."""

    bits: Sequence[int] = field(repr=False)
    values: Sequence[int] = field(repr=False)
    blindings: Sequence[int] = field(repr=False)

    def digest(self) -> bytes:
        """Return a hash of everything secret, from which nonces are hedged."""
        numbers = (*self.bits, *self.values, *self.blindings)
        return hashlib.sha512(b"".join((number % ORDER).to_bytes(SCALAR_BYTES, "big") for number in numbers)).digest()

    def check(self, statement: BitStatement, group: Group) -> None:
        """Check that the witness satisfies ``statement``.

        Raises:
            WitnessError: naming the bit, relation or commitment that does not fit.
        """
        expected = (statement.parameters.bits, len(statement.commitments), len(statement.commitments))
        if (len(self.bits), len(self.values), len(self.blindings)) != expected:
            raise WitnessError("the statement takes {} bits, {} values and {} blindings".format(*expected))
        for index, bit in enumerate(self.bits):
            if bit not in (0, 1):
                raise WitnessError(f"bit {index} is neither 0 nor 1")
        for index, difference in enumerate(statement.differences(self.bits, self.values)):
            if difference:
                raise WitnessError(f"relation {index} does not hold")
        check_openings(statement.commitments, self.values, self.blindings, group)


def check_openings(commitments: Sequence[bytes], values: Sequence[int], blindings: Sequence[int], group: Group) -> None:
    """Check that every commitment opens to its value and blinding.

    Many are made anew, from tables, which takes less than decoding them. A few are compared at once under random
    weights; only a failure is tracked down one by one.

    Raises:
        WitnessError: naming the first commitment that does not open.
    """
    # What was just made is canonical, but the identity is refused below, like anything else that does not decode.
    many = len(commitments) >= TABLE_FROM and group.encode_point(group.identity()) not in commitments
    if many and tuple(commitments) == commit_all(group, values, blindings):
        return
    points = decode_commitments(group, commitments)
    generators = load_generators(group, 0)
    scalar_values, scalar_blindings = group.scalars(values), group.scalars(blindings)
    weights = group.scalars(NonceStream(b"", b"openings").integers(len(points)))
    combined = group.msm(
        [generators.value, generators.blinding, *points],
        [inner(group, weights, scalar_values), inner(group, weights, scalar_blindings), *(-item for item in weights)],
    )
    if combined == group.identity():
        return
    for index, point in enumerate(points):
        opened = group.msm([generators.value, generators.blinding], [scalar_values[index], scalar_blindings[index]])
        if opened != point:
            raise WitnessError(f"commitment {index} does not open to its value: use the blindings it was made with")
