"""One entry of an archived history that was followed, and what its document is held against."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import ArchiveInvalid
from atomic_margin.service.protocol.account.events import Event
from atomic_margin.service.protocol.account.state import NOTHING, Account
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.groups import Group


class Happened(NamedTuple):
    """One entry that was followed.

    Attributes:
        number: of the entry.
        event: what happened.
        document: signed.
        before: the account before it; None for the first entry of an account.
        after: the account after it.
        leaf: the entry's leaf in the log.
        entry: hash of the entry.
    """

    number: int
    event: Event
    document: SignedDocument
    before: Account | None
    after: Account
    leaf: bytes
    entry: str = NOTHING


@dataclass
class Ground:
    """What documents are held against.

    Attributes:
        terms: of the account.
        trust: the verifier's anchors.
        ticks: by number.
        flags: words of the breach flags that were decrypted, by hash of the run's record.
        group: backend of the proofs.
    """

    terms: Terms
    trust: TrustFile
    ticks: Mapping[int, PriceTick]
    flags: Mapping[str, bytes]
    group: Group

    def market(self, number: int) -> Market:
        """Return the prices of a tick.

        Raises:
            ArchiveInvalid: it is not here, or void.
        """
        tick = self.ticks.get(number)
        if tick is None or tick.market is None:
            raise ArchiveInvalid(f"a document rests on prices of tick {number}, which the archive does not have")
        return tick.market
