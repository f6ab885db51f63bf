"""Prove that some row of A z + c is negative from the opening of that row alone. Prover only: the closer of an opening.

The proof is the one of `zk.prove.breach`, and nobody can tell which of the two made it. Entries are not needed: what is
said of rows that are not chosen is simulated about their commitments, C_r = sum_j A_rj V_j + c_r G, which everyone
computes.

>>> import numpy
>>> from atomic_margin.zk.prove.commit import commit_values
>>> from atomic_margin.zk.verify.breach import verify_breach
>>> V, blindings = commit_values((3, 1), bytes(32), {"institution": "fund", "run": "1"})
>>> statement = BreachStatement(V, numpy.array([[-10, 4], [2, -8]]), (40, 1), 6, {"institution": "fund", "run": "1"})
>>> opening = RowOpening(2 * 3 - 8 * 1 + 1, 2 * blindings[0] - 8 * blindings[1])
>>> verify_breach(statement, prove_opened_breach(statement, 1, opening))
"""

from atomic_margin.zk.commitments import decode_commitments, row_commitment
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.prove.breach import KnownRow, argue_choice
from atomic_margin.zk.sharing.open_row import RowOpening
from atomic_margin.zk.statements.breach import BreachStatement


def prove_opened_breach(statement: BreachStatement, row: int, opening: RowOpening, group: Group | None = None) -> bytes:
    """Return a proof of ``statement`` about row ``row``, which does not say which row that is.

    Args:
        statement: about the maintenance rows of the run.
        row: index of the row that is opened, 0 to R - 1.
        opening: its value A_r z + c_r, and its blinding, sum_j A_rj gamma_j modulo r.
        group: backend, by default the fastest installed.

    Raises:
        WitnessError: there is no such row, it is not negative, its shortfall takes too many bits, or the opening is of
            another row.
        PointEncodingError: a commitment of the statement does not decode.
    """
    group = group or load_group()
    if not 0 <= row < statement.rows:
        raise WitnessError(f"there is no row {row}: the statement has rows 0 to {statement.rows - 1}")
    if opening.value >= 0:
        raise WitnessError(f"row {row} is not negative: there is no breach to prove of it")
    if -opening.value > 1 << statement.bits:
        raise WitnessError(f"the shortfall of row {row} takes more than {statement.bits} bits: coarsen the unit")
    entries = decode_commitments(group, statement.commitments)
    commitments = [
        row_commitment(group, entries, weights, offset)
        for weights, offset in zip(statement.weights.tolist(), statement.offsets, strict=True)
    ]
    opening.check(commitments[row], group)
    rows = [KnownRow(0, 0, (commitment,)) for commitment in commitments]
    rows[row] = KnownRow(opening.value, opening.blinding)
    return argue_choice(statement, rows, row, (opening.value, opening.blinding), group)
