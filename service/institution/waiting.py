"""What an agent waits for that no entry of its account announces, so that it looks again soon. Institution only."""

from atomic_margin.service.institution import answering
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.shortfalls import FUNCTION
from atomic_margin.service.institution.store import OwnAnswer, OwnShortfall


def unfinished(party: Party, outbox: Outbox) -> bool:
    """Return whether something is.

    A run that takes an answer and has none yet waits for cosignatures, or for an operator that shows what it has; what
    was not sent waits for the operator to take it; an answered breach waits for its shortfall.
    """
    run = answering.open_run(party)
    if run is not None and answering.decided(party, run) is None:
        return True
    return bool(outbox.outstanding()) or _shortfall_awaited(party)


def _shortfall_awaited(party: Party) -> bool:
    """Return whether the newest answered breach waits for its shortfall, where the profile has one.

    Older ones are looked for in every round too; the operator may have failed to evaluate them.
    """
    if FUNCTION not in party.terms.profile.functions:
        return False
    with party.store.unit_of_work() as session:
        rows = session.query(OwnAnswer).filter(OwnAnswer.entry.is_not(None))
        newest = rows.order_by(OwnAnswer.price_sequence.desc(), OwnAnswer.run_id.desc()).first()
        if newest is None or newest.document is None or newest.document["body"]["outcome"] != "breach":
            return False
        return session.get(OwnShortfall, newest.run_id) is None
