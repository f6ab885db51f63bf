"""What can be wrong with a name and with what it points to, in one tree.

PointerError
├── NameInvalid             not a name in the form of ENSIP-15, or too long
├── NameUnresolved          nobody set a resolver for the name, or it is none
├── RecordMissing           the resolver has no such records, or the name has not set this one
├── ChainUnreachable        the node does not answer, or with something else than JSON-RPC
├── CallReverted            a contract refuses a call: `.data`
├── AddressRefused          an address that is not followed: not https, private, or of another host
├── DownloadFailed          nothing is there, or it does not answer as it should: `.status`
│   ├── DownloadTooLarge    longer than what may be there
│   └── DownloadTooSlow     not all there in time
├── KeystoreUnusable        a key file that is not encrypted, or not by this password
├── PublishRefused          a transaction that would take a name back, was reverted, or is not mined
└── PointerRefused          what the name says does not hold
    ├── AnswerRefused       the resolver does not accept what the gateway answered
    ├── RecordMalformed     a record is not of its form, or its checkpoint is not signed by its log
    ├── LogDiffers          the name is of another log than the bundle, or than the trust file
    ├── CheckpointOlder     the name's checkpoint does not hold the bundle's entries yet
    ├── CheckpointForked    the name's checkpoint and the bundle's are not of one history: `.first`, `.second`
    └── BundleDiffers       the bundle is not the one whose hash the name has
"""

from atomic_margin.service.errors import ServiceError


class PointerError(ServiceError):
    """Root of the errors of `atomic_margin.service.pointer`. Nothing was decided, unless it is a `PointerRefused`."""


class NameInvalid(PointerError):
    """Not a name that ENSIP-15 allows, or longer than one that is followed."""


class NameUnresolved(PointerError):
    """The registry has no resolver for the name, or what it has is no resolver."""


class RecordMissing(PointerError):
    """The resolver has no records of this kind, or this one is empty."""


class ChainUnreachable(PointerError):
    """The node does not answer, or not as a node does."""


class CallReverted(PointerError):
    """A contract refused a call.

    Attributes:
        data: what it reverted with.
    """

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class AddressRefused(PointerError):
    """An address that a name, a gateway or a redirect gave, and that is not followed."""


class DownloadFailed(PointerError):
    """What was asked for is not there.

    Attributes:
        status: HTTP status, 0 where there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class DownloadTooLarge(DownloadFailed):
    """More bytes than may be there."""


class DownloadTooSlow(DownloadFailed):
    """The time was over before all of it was there."""


class KeystoreUnusable(PointerError):
    """A key file that is no encrypted keystore, or that the password does not open."""


class PublishRefused(PointerError):
    """Nothing was published: it would go back, was reverted, or is not mined in time."""


class PointerRefused(PointerError):
    """What a name says does not hold."""


class AnswerRefused(PointerRefused):
    """A gateway's answer is not signed by the name's key, expired, or is to another question."""


class RecordMalformed(PointerRefused):
    """A record of a name is not of its form."""


class LogDiffers(PointerRefused):
    """Name, bundle and trust file are not of one log."""


class CheckpointOlder(PointerRefused):
    """The bundle's entries are not in the name's checkpoint yet."""


class CheckpointForked(PointerRefused):
    """Two checkpoints of one log that were not shown to be of one history.

    Attributes:
        first: the name's, signatures included.
        second: the bundle's.
    """

    def __init__(self, reason: str, first: str, second: str) -> None:
        super().__init__(reason)
        self.first, self.second = first, second


class BundleDiffers(PointerRefused):
    """The bundle is another one than the name's hash is of."""
