"""What a closer proves of opened rows is verified like every other claim, alone or with what else waits."""

import dataclasses

import numpy as np
import pytest

from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.proven import require_proven
from atomic_margin.zk import BreachStatement, Claim, LackStatement, load_group
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.opened_breach import prove_opened_breach
from atomic_margin.zk.sharing.open_row import open_row, share_row
from atomic_margin.zk.sharing.rows import Row
from atomic_margin.zk.verify.queue import VerificationQueue

from ..zk.shared import CONTEXT, book

GROUP = load_group()
WEIGHTS, OFFSET = (-10, 4, -1, 0, 3), 20


@pytest.fixture(scope="module")
def claims() -> dict[str, Claim]:
    row = Row(book().deal, WEIGHTS, OFFSET)
    opening = open_row(row, [share_row(row, one) for one in book().shares[1:4]])
    V = book().statement.commitments
    breach = BreachStatement(V, np.array([[1, 1, 1, 1, 1], WEIGHTS]), (0, OFFSET), 10, CONTEXT)
    lack = LackStatement(V, np.array(WEIGHTS), OFFSET, 40, 8, CONTEXT)
    return {
        "breach_proof": Claim(breach, prove_opened_breach(breach, 1, opening)),
        "lack_proof": Claim(lack, prove_lack(lack, opening)),
    }


@pytest.mark.parametrize("queued", [False, True])
def test_both_proofs_of_a_closer_are_required(claims: dict[str, Claim], queued: bool) -> None:
    queue = VerificationQueue(GROUP) if queued else None
    require_proven(claims, GROUP, queue)
    for name, claim in claims.items():
        other = dataclasses.replace(claim.statement, context={**CONTEXT, "submission": "4"})
        with pytest.raises(Refused, match="proof") as caught:
            require_proven({**claims, name: Claim(other, claim.proof)}, GROUP, queue)
        assert caught.value.field == name
        with pytest.raises(Refused) as caught:
            require_proven({**claims, name: Claim(claim.statement, claim.proof[:-1])}, GROUP, queue)
        assert caught.value.field == name
