"""Why a log is not believed, in one tree.

LogError
├── MalformedNote           not a signed note, key or checkpoint in its one spelling
├── NoteNotSigned           no signature by the key that is trusted, or a wrong one
├── TooFewWitnesses         fewer cosignatures than wanted, or all of them too old
├── ProofInvalid            an inclusion or consistency proof does not lead to the root
├── DeadlineOpen            the time to answer is not over by the witnesses' clocks
├── DeliveredInTime         a witness had the answer before the time was over
├── TileInvalid             a tile or a bundle of entries of the wrong length or form
└── LogForked               two checkpoints of one log that cannot both be true: `.first`, `.second`
"""

from atomic_margin.service.errors import ServiceError


class LogError(ServiceError):
    """Root of the errors of `atomic_margin.service.log`."""


class MalformedNote(LogError):
    """A note, a key or a checkpoint has another spelling than the one that is specified."""


class NoteNotSigned(LogError):
    """The key that is trusted did not sign, or its signature is wrong."""


class TooFewWitnesses(LogError):
    """Fewer witnesses cosigned the checkpoint, or recently enough, than are wanted."""


class ProofInvalid(LogError):
    """A proof does not lead from what it starts with to the root of the checkpoint."""


class DeadlineOpen(LogError):
    """The time to answer is not over by the clocks of the witnesses, or nobody shows that it is."""


class DeliveredInTime(LogError):
    """A witness had the answer before the time to give it was over: the operator did not take it, or says so."""


class TileInvalid(LogError):
    """A tile, or a bundle of entries, has the wrong length or form."""


class LogForked(LogError):
    """Two signed checkpoints of one log contradict each other.

    Attributes:
        first: text of the one that was seen before, signatures included.
        second: text of the other.
    """

    def __init__(self, reason: str, first: str, second: str) -> None:
        super().__init__(reason)
        self.first = first
        self.second = second
