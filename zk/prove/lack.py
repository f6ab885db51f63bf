"""Prove that a top-up is what one row lacks, rounded up, from the row's opening alone. Prover only: a closer.

>>> import numpy
>>> from atomic_margin.zk.prove.commit import commit_values
>>> from atomic_margin.zk.verify.lack import verify_lack
>>> V, blindings = commit_values((3, 1), bytes(32), {"institution": "fund", "run": "1"})
>>> statement = LackStatement(V, numpy.array([-10, 4]), 3, top_up=24, step=8, context={"run": "1", "row": "0"})
>>> opening = RowOpening(-10 * 3 + 4 * 1 + 3, -10 * blindings[0] + 4 * blindings[1])
>>> verify_lack(statement, prove_lack(statement, opening))
"""

from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import ORDER, Group, load_group
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import SufficiencyWitness
from atomic_margin.zk.sharing.open_row import RowOpening
from atomic_margin.zk.statements.lack import LackStatement


def prove_lack(statement: LackStatement, opening: RowOpening, group: Group | None = None) -> bytes:
    """Return a proof of ``statement``.

    Args:
        statement: about the least initial row of the run.
        opening: the row's value a·z + c, and its blinding, sum_j a_j gamma_j modulo r.
        group: backend, by default the fastest installed.

    Raises:
        WitnessError: the top-up is not enough, or a whole step too much, or the opening is of another row.
        PointEncodingError: a commitment of the statement does not decode, or that to the row is the identity.
    """
    group = group or load_group()
    row = statement.row_point(group)
    opening.check(row, group)
    left = opening.value + statement.top_up
    if left < 0:
        raise WitnessError("the row lacks more than the top-up: round up what it lacks to the step")
    if left >= statement.step:
        raise WitnessError("the row lacks at least a step less than the top-up: round up only to the next step")
    witness = SufficiencyWitness((opening.value,), (opening.blinding % ORDER,))
    return prove_sufficiency(statement.sufficiency(group.encode_point(row)), witness, group)
