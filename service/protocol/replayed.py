"""A stretch of an account's history that the machine made every state of anew: what an archive's reports are of. Pure.

It comes into being entry by entry, while an archive is written or read. Of a document it keeps what reports say, and
no proof, ciphertext or commitment, so that a long history fits into memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.service.protocol.account.entries import Entry
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.archive import MAX_REPORTED_ENTRIES
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.ticks import PriceTick

MAX_NOTED = 4096
"""Characters of one text of a document that is kept: no proof and no ciphertext has so few."""


@dataclass(frozen=True)
class NotedDocument:
    """What is kept of a signed document.

    Attributes:
        type: of the document.
        body: without what no report says.
        sha256: hash that names the whole body.
    """

    type: str
    body: dict[str, Any]
    sha256: str

    @classmethod
    def of(cls, document: SignedDocument, sha256: str) -> "NotedDocument":
        """Keep what is said of a document whose body has a hash."""
        kept = ("gain",) if document.type == Submission.TYPE else tuple(document.body)
        body = {name: document.body[name] for name in kept if name in document.body}
        short = {name: value for name, value in body.items() if not isinstance(value, str) or len(value) <= MAX_NOTED}
        return cls(document.type, short, sha256)

    def body_hash(self) -> str:
        """Return the hash that names the body in other documents."""
        return self.sha256


class ReplayedStep(NamedTuple):
    """One entry, and the account after it.

    Attributes:
        entry: what the operator signed.
        sha256: its hash.
        account: both parts of it.
        document: what the entry is about; None of the one before the first.
    """

    entry: Entry
    sha256: str
    account: Account
    document: NotedDocument | None


@dataclass
class Replayed:
    """Entries in order, and the prices that they name.

    Attributes:
        operator: public key, whose word it is.
        schedule: that collateral is valued by.
        opening: the entry before the first one; None if the account begins here.
        steps: none if there are more than `MAX_REPORTED_ENTRIES`.
        ticks: by number.
    """

    operator: str
    schedule: CollateralSchedule
    opening: ReplayedStep | None = None
    steps: list[ReplayedStep] = field(default_factory=list)
    ticks: dict[int, PriceTick] = field(default_factory=dict)

    def note(self, count: int, step: ReplayedStep) -> None:
        """Keep one of so many entries."""
        if count <= MAX_REPORTED_ENTRIES:
            self.steps.append(step)

    def priced(self, tick: PriceTick) -> None:
        """Keep a tick."""
        self.ticks[tick.sequence] = tick


ReportMaker = Callable[[Replayed], Iterator[tuple[str, bytes]]]
"""Makes every report of a replayed history: names in the archive, and bytes."""
