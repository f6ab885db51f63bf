"""What goes over HTTP about breakers, unsigned, as types; see `protocol.messages`, whose rules hold here too."""

from typing import Any

from pydantic import Field

from atomic_margin.documents.strict import ListOf
from atomic_margin.service.protocol.account.halt_documents import LONGEST_TICKS, SCOPES, HaltScope
from atomic_margin.service.protocol.messages import Count, RequestBody, ResponseBody

JsonObject = dict[str, Any]


_LINE = r"^[ -~]{1,64}$"


class HaltAsked(RequestBody):
    """Halt every account."""

    reason: str = Field(pattern=_LINE, examples=["custodian unreachable"])
    scope: ListOf[HaltScope] = SCOPES
    ticks: Count = Field(default=60, description=f"it is over by itself after so many, at most {LONGEST_TICKS}")


class ResumeAsked(RequestBody):
    """End the halt."""

    reason: str = Field(pattern=_LINE, examples=["custodian answers again"])


class WaitingBreach(ResponseBody):
    """A verified breach that is not settled."""

    run_id: str
    leaf: Count
    """Of the entry of its answer: the order."""
    since: str
    top_up_usd: str
    due: bool
    """Whether it may settle now."""


class BreakersView(ResponseBody):
    """What stops at the moment."""

    staged: JsonObject | None
    """The newest tick, signed, if it is staged."""
    halt: JsonObject | None
    """The halt in force, signed."""
    rules: JsonObject | None
    """About too many calls at once."""
    waiting: ListOf[WaitingBreach]
    """In the order in which they settle."""
