"""Why a witness does not cosign, or gives no receipt, in one tree, with HTTP statuses; most are of C2SP tlog-witness.

WitnessError
├── LogUnknown              404  a log that this witness was not told of
├── CheckpointUnsigned      403  not signed by the key of the log
├── SizeImpossible          400  the old size is above the new one
├── OtherSize               409  the newest checkpoint has another size: `.size`
├── OtherTree               409  the same size with another root: the log contradicts itself
└── TooManyDeliveries       429  one address brought more documents in a minute than are taken
"""

from typing import ClassVar

from atomic_margin.service.errors import ServiceError


class WitnessError(ServiceError):
    """Root of the errors of `atomic_margin.service.witness`.

    Attributes:
        status: HTTP status.
    """

    status: ClassVar[int] = 400


class LogUnknown(WitnessError):
    """A log that this witness was not told of."""

    status = 404


class CheckpointUnsigned(WitnessError):
    """The checkpoint is not signed by the key of its log."""

    status = 403


class SizeImpossible(WitnessError):
    """The old size is above the size of the checkpoint."""


class OtherSize(WitnessError):
    """The old size is not that of the newest checkpoint here.

    Attributes:
        size: that one's.
    """

    status = 409

    def __init__(self, reason: str, size: int) -> None:
        super().__init__(reason)
        self.size = size


class OtherTree(WitnessError):
    """A checkpoint of the same size has another root."""

    status = 409


class TooManyDeliveries(WitnessError):
    """One address brought more documents in a minute than are taken, or too many addresses brought some."""

    status = 429
