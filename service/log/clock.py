"""When a time to answer is over, by the witnesses' clocks and nobody else's.

It begins with a checkpoint that holds the run's entry, once enough witnesses had seen that one, and it is over when
enough of them saw a checkpoint later by the seconds there are. A later checkpoint than the first one only begins the
time later, so nobody has to show that it is the first. The operator's own clock is neither asked nor needed.
"""

from collections.abc import Iterable
from typing import NamedTuple

from atomic_margin.service.log.errors import DeadlineOpen, DeliveredInTime, ProofInvalid
from atomic_margin.service.log.evidence import check_cosigned, check_evidence
from atomic_margin.service.protocol.delivery import DeliveryReceipt
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.trust import LogTrust


class Elapsed(NamedTuple):
    """A time to answer that is over.

    Attributes:
        began_at: from when enough witnesses had seen the run's entry, seconds of the epoch.
        ended_at: enough of them saw the other checkpoint then or later.
    """

    began_at: int
    ended_at: int


def check_deadline(begins: Evidence | None, ends: str | None, leaf: bytes, seconds: int, trust: LogTrust) -> Elapsed:
    """Make sure the time to answer a run is over.

    Args:
        begins: that the run's entry is in a checkpoint; None if nobody shows it.
        ends: a later checkpoint, a signed note; None likewise.
        leaf: of the run's entry, made by the caller.
        seconds: the time there is.
        trust: which log, whose cosignatures.

    Raises:
        DeadlineOpen: one of the two is missing, or the second was not seen so much later.
        ProofInvalid: the entry is not in the first, or the second is of a shorter log.
        MalformedNote, NoteNotSigned, TooFewWitnesses: one of them is not to be believed.
    """
    if begins is None or ends is None:
        raise DeadlineOpen("no checkpoint shows when the time to answer began and ended; ask for both")
    if len(begins.leaves) != 1:
        raise ProofInvalid(f"the time begins with one entry, the evidence is about {len(begins.leaves)}")
    first, second = check_evidence(begins, [leaf], trust), check_cosigned(ends, trust)
    if second.head.size < first.head.size:
        raise ProofInvalid(
            f"the time ends with a log of {second.head.size} entries and began with one of {first.head.size}"
        )
    if first.seen_at is None or second.newest_at is None:
        raise DeadlineOpen("without witnesses there is no clock but the operator's")
    if second.newest_at < first.seen_at + seconds:
        raise DeadlineOpen(
            f"the witnesses saw the entry by {first.seen_at} and the later checkpoint at {second.newest_at}, "
            f"{second.newest_at - first.seen_at} s apart; there are {seconds} s to answer"
        )
    return Elapsed(first.seen_at, second.newest_at)


def check_undelivered(elapsed: Elapsed, seconds: int, receipts: Iterable[DeliveryReceipt]) -> None:
    """Make sure no witness was handed the answer in time.

    Args:
        elapsed: the time to answer.
        seconds: how long it is.
        receipts: of the answer, each checked with `read_receipt`.

    Raises:
        DeliveredInTime: one is of an earlier moment than the end of that time: the run is not overdue.
    """
    for receipt in receipts:
        if receipt.moment <= elapsed.began_at + seconds:
            raise DeliveredInTime(
                f"a witness had the answer at {receipt.received_at}, {receipt.moment - elapsed.began_at} s after the "
                f"time began; there were {seconds} s"
            )
