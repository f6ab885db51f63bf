"""When an opening may be asked for: the rules of custodians, seen from the operator, and a minute more.

A custodian counts a policy's `opening_after_seconds` from when it first saw, in a checkpoint that enough witnesses had
cosigned, the entry by which the book came to be owed. The operator does not know when that was. It knows when its
witnesses cosigned the entry first, and a custodian that runs reads the log once a minute at least. What is asked for
before that minute is over is refused here: to a custodian it may be too early, and its refusal would cost one of the
few openings that the policy allows. A custodian that was away counts from when it came back, and may refuse all the
same.
"""

from datetime import datetime, timedelta, timezone

from sqlalchemy.orm import Session

from atomic_margin.documents.fields import instant_text
from atomic_margin.documents.strict import instant
from atomic_margin.service.errors import AskedTooEarly, RunOld
from atomic_margin.service.operator.custody.history import released
from atomic_margin.service.operator.custody.policies import policy_named
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import checkpoints, entries
from atomic_margin.service.operator.store.database import now
from atomic_margin.service.operator.store.market_chain import oldest_market
from atomic_margin.service.operator.store.tables import EntryRow, Run
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.opening_times import behind_at_most
from atomic_margin.service.protocol.released import ReleasedHistory
from atomic_margin.service.protocol.signing import SignedDocument

LOOK_SECONDS = 60
"""A custodian that runs reads the log so often at least, also after failures. It waits two minutes more itself."""


def require_late(operator: Operator, institution: str) -> None:
    """Make sure that custodians will not find a request to open an account's book too early.

    Nothing is said of a book that is not owed, or that nobody has shares of: the request says what is wrong with that.

    Raises:
        NotFound: there is no such account, or a document of its history is not stored any more.
        AskedTooEarly: the policy's time is not over; `.not_before` says when it is.
    """
    public = entries.state_of(operator.account(institution)).public
    shared = None if public.book is None else public.book.shared
    if public.owed is None or shared is None:
        return
    with operator.store.reading() as session:
        after = policy_named(session, institution, shared.policy).opening_after_seconds
    if not after:
        # Whoever sees the entry takes part.
        return
    number = ReleasedHistory.parse(released(operator, institution)).owed_since
    if number is None:
        raise TypeError("a book that is owed came to be owed by an entry")
    moment = now()
    with operator.store.reading() as session:
        since = _seen_at(operator, session, session.get_one(EntryRow, (institution, number)))
    waits = timedelta(seconds=after + min(after, LOOK_SECONDS))
    earliest = (moment if since is None else since) + waits
    if since is None:
        raise AskedTooEarly(
            f"no checkpoint with enough cosignatures has entry {number}, by which the book is owed: custodians count "
            f"the {after} s of their policy from then; ask again once one is published, from {instant_text(earliest)} "
            "on at the earliest",
            not_before=instant_text(earliest),
        )
    if moment < earliest:
        raise AskedTooEarly(
            f"the policy of the book has it opened {after} s after custodians saw that the answer is overdue, and they "
            f"may have seen it as late as {instant_text(since + waits - timedelta(seconds=after))}: ask again from "
            f"{instant_text(earliest)} on; asked now, they would refuse, and one opening of the policy would be lost",
            not_before=instant_text(earliest),
        )


def require_new(operator: Operator, institution: str) -> None:
    """Make sure that custodians will not find the run of an account to be at old prices.

    Raises:
        NotFound: there is no such account.
        RunOld: a later tick with prices has come too long ago.
    """
    run = entries.state_of(operator.account(institution)).public.run
    if run is None or run.record is None:
        return
    with operator.store.reading() as session:
        record = RunRecord.parse(SignedDocument.parse(session.get_one(Run, run.run_id).record).body)
        later = oldest_market(session, run.price_sequence)
    # The checkpoint that has the request comes after this; that of the tick came after its date.
    known = now() + timedelta(seconds=2 * LOOK_SECONDS)
    if later is not None and known > instant(later.received_at) + timedelta(
        seconds=behind_at_most(record.answer_seconds)
    ):
        raise RunOld(
            f"run {run.run_id} is at tick {run.price_sequence}, and tick {later.sequence} came at {later.received_at}: "
            "custodians would refuse, and one opening of the policy would be lost; ask once the run at the newest tick "
            "is recorded, which comes next unless runs are halted",
            "institution",
        )


def _seen_at(operator: Operator, session: Session, entry: EntryRow) -> datetime | None:
    """Return when enough witnesses had cosigned an entry; None while they have not. Without witnesses, its own date."""
    entered = instant(str(entry.entry["body"]["entered_at"]))
    if not operator.settings.policy_of_log.needed:
        return entered
    first = checkpoints.first_with(session, entry.leaf)
    if first is None or first.seen_at is None:
        return None
    seen = datetime.fromtimestamp(first.seen_at, timezone.utc)
    # Of an entry from long ago the first checkpoints are stored no more: then it is its date, and the usual time.
    usual = entered + timedelta(seconds=operator.settings.checkpoint_seconds)
    return seen if checkpoints.has_before(session, first) else min(seen, usual)
