"""Bodies of what an operator says as it happens, and of what is asked before an enrolment; see `protocol.messages`."""

from typing import Any

from pydantic import Field

from atomic_margin.service.protocol.messages import Count, ResponseBody


class Admitted(ResponseBody):
    """Whether the operator has admitted an institution under an identity key. Nothing else is said of either."""

    admitted: bool


class EntryEvent(ResponseBody):
    """An entry of an account, as its event stream names it; the entry itself is among the account's entries."""

    number: Count
    kind: str = Field(examples=["run recorded"])
    sha256: str
    """Hash of the entry's body."""
    subject: str
    """Hash of the body of the document that it is about."""
    run_id: str | None = None
    """Of a run that is recorded."""
    deadline: str | None = None
    """Until when that run takes an answer, by the operator's clock."""


class OwedReminder(ResponseBody):
    """A run still waits for its answer."""

    run_id: str
    deadline: str
    percent: Count
    """So much of the time to answer is over: 50 or 90."""


class LogEvent(ResponseBody):
    """A leaf of the log, as it is served in the tiles."""

    number: Count
    leaf: dict[str, Any]
    institution: str | None = None
    """Whose entry it is; for the operator's people alone, as is what follows."""
    entry: EntryEvent | None = None
