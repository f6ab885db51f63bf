"""What a document's proofs have to show, verified: one by one, or with whatever else waits at the moment.

For `verification` and `unasked`. Returning means that every claim holds.
"""

from collections.abc import Mapping

from atomic_margin.service.errors import Refused
from atomic_margin.zk.errors import BatchInvalid, ProofError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.verify.batch import Claim, verify_claim
from atomic_margin.zk.verify.queue import VerificationQueue


def require_proven(claims: Mapping[str, Claim], group: Group, queue: VerificationQueue | None = None) -> None:
    """Make sure that claims hold.

    Args:
        claims: by the field of the document that has the proof.
        group: backend of the proofs, where there is no queue.
        queue: of an operator, whose institutions answer at the same time.

    Raises:
        Refused: one does not; `.field` names the first.
    """
    if queue is not None:
        try:
            queue.verify(list(claims.values()))
        except BatchInvalid as error:
            first = min(error.culprits)
            culprit = error.culprits[first]
            raise Refused(str(culprit), list(claims)[first]) from culprit
        except ProofError as error:
            raise Refused(str(error), next(iter(claims))) from error
        return
    for name, claim in claims.items():
        try:
            verify_claim(claim, group)
        except ProofError as error:
            raise Refused(str(error), name) from error
