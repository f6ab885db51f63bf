"""A log, who keeps it, and its witnesses, for tests."""

from dataclasses import dataclass, field

from atomic_margin.service.log.checkpoints import Checkpoint, TreeHead, cosign, log_key, sign_head, witness_key
from atomic_margin.service.log.evidence import make_evidence
from atomic_margin.service.log.tree import root
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import LogTrust

from .logs import MemoryLog

ORIGIN = "margin.example/log"


@dataclass
class Kept:
    """A log with witnesses w0, w1, ... whose clocks the test sets."""

    log: MemoryLog = field(default_factory=lambda: MemoryLog([b"leaf %d" % number for number in range(40)]))
    keeper: Identity = field(default_factory=Identity.generate)
    witnesses: list[Identity] = field(default_factory=lambda: [Identity.generate() for _ in range(3)])

    def note(self, size: int, *times: int | None, log: MemoryLog | None = None) -> str:
        """Return the checkpoint of a size, cosigned by each witness at a time; by none where that is None."""
        head = TreeHead(ORIGIN, size, root((log or self.log).read, size))
        checkpoint = sign_head(head, self.keeper)
        lines = "".join(
            cosign(checkpoint, f"w{number}", self.witnesses[number], time)
            for number, time in enumerate(times)
            if time is not None
        )
        return str(checkpoint.note.with_lines(lines)) if lines else str(Checkpoint.parse(str(checkpoint)))

    def trust(self, threshold: int = 2, max_age: int = 60) -> LogTrust:
        """Return what believes it."""
        keys = [str(witness_key(f"w{number}", one.public_key)) for number, one in enumerate(self.witnesses)]
        return LogTrust.parse(
            {
                "key": str(log_key(ORIGIN, self.keeper.public_key)),
                "witnesses": keys,
                "threshold": str(threshold),
                "max_age_seconds": str(max_age),
            }
        )

    def evidence(self, note: str, *indexes: int) -> Evidence:
        """Return the evidence that leaves are in a checkpoint."""
        return make_evidence(note, Checkpoint.parse(note).head.size, indexes, self.log.read)
