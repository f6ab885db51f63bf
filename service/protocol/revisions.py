"""What leads from the universe that somebody pins to the one a document names: revisions that the operator signed."""

from collections.abc import Sequence

from atomic_margin.service.errors import UnknownUniverse
from atomic_margin.service.protocol.account.events import UniverseRevision
from atomic_margin.service.protocol.bodies import parse_signed

MAX_REVISIONS = 1000


def check_lineage(pinned: str, named: str, revisions: Sequence[object], operator: str) -> int:
    """Make sure that signed revisions lead from one universe to another; return how many there are on the way.

    Args:
        pinned: hash of the universe that is pinned.
        named: hash of the one that is used.
        revisions: signed documents, in order; those before the pinned one are passed over.
        operator: public key of the operator that signs them.

    Raises:
        UnknownUniverse: they do not lead there, or are too many.
        SignatureInvalid, DocumentError: one does not hold.
    """
    if len(revisions) > MAX_REVISIONS:
        raise UnknownUniverse(f"at most {MAX_REVISIONS} revisions lead anywhere", "revisions")
    at, steps = pinned, 0
    for document in revisions:
        if at == named:
            break
        signed, revision = parse_signed(document, UniverseRevision)
        signed.verify(frozenset({operator}))
        if revision.before == at:
            at, steps = revision.universe, steps + 1
    if at != named:
        raise UnknownUniverse(f"no revisions lead from universe {pinned} to {named}", "universe")
    return steps
