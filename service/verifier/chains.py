"""The chains of accounts in a log, as far as its leaves show them. Pure.

Each leaf has a number, names the entry before, and the tick that was newest when it was entered. Nobody who reads a log
learns whose account it is, what happened, or whether it was legal: that is for those who have the documents. What
leaves show is that no entry was left out, put in twice, or dated back behind a tick or the first prices of one; and
that every cycle of netting is there once.
"""

import hashlib
from typing import NamedTuple

from atomic_margin.service.protocol.leaves import CycleLeaf, EntryLeaf

NOTHING = "0" * 64


class TickSeen(NamedTuple):
    """The newest tick leaf.

    Attributes:
        leaf: its number in the log; None where there was none yet.
        sequence: of the tick, 0 for none.
        tick: its hash, 64 zeros for none.
    """

    leaf: int | None = None
    sequence: int = 0
    tick: str = NOTHING


class AccountSeen(NamedTuple):
    """What is kept of an account.

    Attributes:
        number: of its last entry.
        head: hash of that.
        leaf: number of its leaf in the log.
        run_at: tick at which it last had an entry about a run, 0 for none.
    """

    number: int
    head: str
    leaf: int
    run_at: int


class Misplaced(NamedTuple):
    """That a leaf is not where it may be.

    Attributes:
        reason: why.
        other: index of the leaf that contradicts it; None where it contradicts what is not there.
    """

    reason: str
    other: int | None


def placed(
    before: AccountSeen | None, leaf: EntryLeaf, index: int, tick: TickSeen, receipt: int | None
) -> AccountSeen | Misplaced:
    """Return what is known of an account after one more entry, or why that may not be where it is.

    Args:
        before: what was known; None if the log had no entry of the account.
        leaf: the entry's.
        index: number of the leaf in the log.
        tick: the newest tick leaf before it.
        receipt: number in the log of the first leaf of a source's document since then, None if there is none.
    """
    number, head, other = (0, NOTHING, None) if before is None else (before.number, before.head, before.leaf)
    account = leaf.account[:16]
    if leaf.number != number + 1:
        what = "once more" if 0 < leaf.number <= number else f"after {number}"
        return Misplaced(f"entry {leaf.number} of account {account} comes {what}", other)
    if leaf.previous != head:
        return Misplaced(f"entry {leaf.number} of account {account} follows another entry than {number}", other)
    if leaf.tick_sequence != tick.sequence:
        named = f"entry {leaf.number} of account {account} names tick {leaf.tick_sequence} as the newest"
        return Misplaced(f"{named}, and before it in the log is tick {tick.sequence}", tick.leaf)
    if leaf.tick != tick.tick:
        return Misplaced(f"entry {leaf.number} of account {account} names another tick {tick.sequence}", tick.leaf)
    following = tick.sequence + 1
    if leaf.receipted != (tick.sequence if receipt is None else following):
        named = f"entry {leaf.number} of account {account} says that tick {leaf.receipted} was receipted last"
        if receipt is None:
            return Misplaced(f"{named}, and nothing is since tick {tick.sequence}", tick.leaf)
        return Misplaced(f"{named}, and before it in the log is a document for tick {following}", receipt)
    run_at = leaf.tick_sequence if leaf.run else (0 if before is None else before.run_at)
    return AccountSeen(leaf.number, leaf.entry, index, run_at)


class CycleSeen(NamedTuple):
    """A cycle of netting.

    Attributes:
        leaf: its number in the log.
        number: of the cycle.
        settles: its day.
        sha256: of the leaf, in hex.
    """

    leaf: int
    number: int
    settles: str
    sha256: str

    def is_of(self, leaf: CycleLeaf) -> bool:
        """Return whether that is what the log has."""
        return hashlib.sha256(leaf.to_bytes()).hexdigest() == self.sha256


def netted(before: CycleSeen | None, leaf: CycleLeaf, index: int) -> CycleSeen | Misplaced:
    """Return what is kept of a cycle, or why its leaf may not be where it is.

    Args:
        before: the last one; None if the log had none.
        leaf: of the cycle.
        index: number of the leaf in the log.
    """
    number, other = (0, None) if before is None else (before.number, before.leaf)
    if leaf.number != number + 1:
        what = "once more" if 0 < leaf.number <= number else f"after {number}"
        return Misplaced(f"cycle {leaf.number} of netting comes {what}", other)
    if before is not None and leaf.settles <= before.settles:
        return Misplaced(
            f"cycle {leaf.number} of netting is of {leaf.settles}, the one before of {before.settles}", other
        )
    return CycleSeen(index, leaf.number, leaf.settles, hashlib.sha256(leaf.to_bytes()).hexdigest())
