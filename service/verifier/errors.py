"""What a monitor finds, in one tree.

MonitorError
├── Contradiction           two things the operator signed exclude each other, or break its own rules: `.documents`
├── LeafUnknown             a leaf of a format that came later than this version: `.format`
├── ReleaseInvalid          a history that an institution released does not hold by itself, or is not in the log yet
├── Unpinned                what an institution released is under something else than the trust file pins
└── LogUnreadable           what is handed out does not belong together; no proof against the operator by itself
"""

from typing import Any

from atomic_margin.service.errors import ServiceError


class MonitorError(ServiceError):
    """Root of the errors of a monitor."""


class Contradiction(MonitorError):
    """The operator signed what it may not have signed.

    Attributes:
        documents: what shows it, as JSON: checkpoints, leaves, signed documents.
    """

    def __init__(self, reason: str, documents: list[dict[str, Any]]) -> None:
        super().__init__(reason)
        self.documents = documents

    def bundle(self) -> dict[str, Any]:
        """Return the contradiction as it is handed on."""
        return {"format": "atomic-margin/contradiction/1", "reason": str(self), "documents": self.documents}


class LeafUnknown(MonitorError):
    """A leaf says that it is of a format which this version does not know; a newer one has to look.

    Attributes:
        format: what it says.
    """

    def __init__(self, reason: str, format_: str) -> None:
        super().__init__(reason)
        self.format = format_


class ReleaseInvalid(MonitorError):
    """A released history is incomplete, of somebody else, or newer than the log: that speaks against nobody."""


class Unpinned(MonitorError):
    """An account is under other terms, rules or agreements than the trust file pins, or under none of them."""


class LogUnreadable(MonitorError):
    """Checkpoint, entries and tiles do not belong together, or something is missing; a cache may do that too."""
