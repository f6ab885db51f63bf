"""Why an opening's computation gave no verdict, in one tree. None says anything of a share.

EngineError
├── EngineTaskInvalid        a task that no engine takes; the message names the field
├── EngineUnavailable        MPyC is not installed here
├── EngineStalled            the time was over; `.points` did not connect, or not answer
├── EngineFailed             the process ended without a verdict
├── ShareMismatch            the row shares of those present do not lie on polynomials of degree t - 1
└── PeerError                one of the others is why; `.points` says who, where it is known
    ├── IdentityRefused      who answers there is not the custodian of the policy
    ├── TaskDiffers          it is engaged in another opening, or with other rows, custodians or bounds
    ├── PeerLost             it ended before the computation did
    ├── PeerMalformed        it sent what the computation does not take
    └── VerdictDiffers       it ended with another verdict
"""

from collections.abc import Iterable

from atomic_margin.service.errors import ServiceError


class EngineError(ServiceError):
    """Root of the errors of `atomic_margin.service.custodian.engine`.

    Attributes:
        points: the custodians that it is about, where that is known.
    """

    def __init__(self, message: str, points: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.points = tuple(points)


class EngineTaskInvalid(EngineError):
    """A task that no engine takes."""


class EngineUnavailable(EngineError):
    """MPyC is not installed here."""


class EngineStalled(EngineError):
    """The time limit was over before there was a verdict."""


class EngineFailed(EngineError):
    """The process ended without a verdict."""


class ShareMismatch(EngineError):
    """The row shares of those present do not lie on polynomials of degree t - 1: one has others than it was dealt."""


class PeerError(EngineError):
    """One of the other custodians is why there is no verdict."""


class IdentityRefused(PeerError):
    """Who answers at a custodian's address cannot show its key."""


class TaskDiffers(PeerError):
    """A custodian is engaged in another opening, or with other rows, custodians or bounds."""


class PeerLost(PeerError):
    """A custodian ended before the computation did."""


class PeerMalformed(PeerError):
    """A custodian sent what the computation does not take."""


class VerdictDiffers(PeerError):
    """A custodian ended with another verdict: one of them deviated."""


NAMED: dict[str, type[EngineError]] = {
    error.__name__: error
    for error in (
        EngineTaskInvalid,
        EngineUnavailable,
        EngineStalled,
        EngineFailed,
        ShareMismatch,
        IdentityRefused,
        TaskDiffers,
        PeerLost,
        PeerMalformed,
        VerdictDiffers,
    )
}
"""Errors that the process names on its last line."""
