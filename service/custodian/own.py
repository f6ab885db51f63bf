"""What one custodian is: folder, store, trust file, clock. What its parts share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.custodian.folder import Folder
from atomic_margin.service.custodian.store import Store
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.protocol.trust import LogTrust, TrustFile
from atomic_margin.zk.groups import Group


@dataclass(frozen=True)
class Own:
    """One custodian.

    Attributes:
        folder: its keys and policies.
        store: its memory.
        trust: operator, institutions, terms, log and witnesses that it pins.
        clock: its own, in UTC.
        group: backend of proofs and shares.
    """

    folder: Folder
    store: Store
    trust: TrustFile
    clock: Callable[[], datetime]
    group: Group

    def __post_init__(self) -> None:
        """Make sure that the trust file names a log.

        Raises:
            ConfigurationError: it does not.
        """
        _ = self.log

    @property
    def log(self) -> LogTrust:
        """Log and witnesses of the trust file."""
        if self.trust.log is None:
            raise ConfigurationError(
                "the trust file names no log: a custodian opens nothing on the operator's word alone; make it with "
                "`atomic-margin trust --log --witness`"
            )
        return self.trust.log

    def now(self) -> int:
        """Return the present time, seconds of the epoch."""
        return int(self.clock().timestamp())

    def now_text(self) -> str:
        """Return the same as documents spell it."""
        return instant_text(self.clock())
