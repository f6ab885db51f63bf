"""What goes over HTTP about disputes, unsigned, as types; see `protocol.messages`, whose rules hold here too."""

from typing import Any

from pydantic import Field

from atomic_margin.documents.strict import ListOf
from atomic_margin.service.protocol.disputes import DisputeKind, Outcome
from atomic_margin.service.protocol.messages import Count, RequestBody, ResponseBody
from atomic_margin.service.protocol.names import NAME

JsonObject = dict[str, Any]

_HASH = r"^[0-9a-f]{64}$"
_USD = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?$"
_WORDS = r"^[ -~]{1,500}$"


class Proposal(RequestBody):
    """What a dispute may end by: nobody is bound to it."""

    outcome: Outcome
    amount: str | None = Field(default=None, pattern=_USD, examples=["1200"], description="USD, where both agree on it")
    words: str = Field(pattern=_WORDS, examples=["the price of tick 17 was right, the haircut was not"])


class Offer(ResponseBody):
    """What an institution signed to end its dispute, and what stands against it."""

    resolution: str
    """Hash of the document: what the operator agrees to."""
    document: JsonObject
    """Signed."""
    offered_at: str
    problem: str | None
    """Why no entry can be made of it, as the account is now; None if one can."""


class OpenDisputeView(ResponseBody):
    """A dispute that holds an account."""

    institution: str
    dispute: str
    """Hash of the institution's document."""
    document: JsonObject
    """Signed."""
    lapses_from: str
    """Time of prices from which on the operator alone may let it lapse."""
    lapses: bool
    """Whether it may now."""
    proposed: Proposal | None
    """What the operator would agree to."""
    offered: Offer | None


class OpenDisputes(ResponseBody):
    """All disputes that hold accounts, by institution."""

    disputes: ListOf[OpenDisputeView]


class DisputeEntry(ResponseBody):
    """Something that happened to a dispute."""

    number: Count
    """Of the entry."""
    kind: str
    """`disputed`, `dispute resolved`, `dispute withdrawn` or `dispute lapsed`."""
    entry: JsonObject
    document: JsonObject


class AccountDisputes(ResponseBody):
    """The disputes of one account: the open one, and what happened to the newest ones, the newest last."""

    open: OpenDisputeView | None
    history: ListOf[DisputeEntry]


class Proposed(Proposal):
    """What the operator would agree to, for one institution's dispute."""

    institution: str = Field(pattern=NAME, examples=["fund"])
    dispute: str = Field(pattern=_HASH, examples=["4d" * 32], description="hash of the dispute")


class Resolved(RequestBody):
    """The operator agrees to what ends a dispute."""

    institution: str = Field(pattern=NAME, examples=["fund"])
    resolution: str = Field(pattern=_HASH, examples=["4d" * 32], description="hash of the document")


class Lapsed(RequestBody):
    """The operator alone ends a dispute that stood for the longest time."""

    institution: str = Field(pattern=NAME, examples=["fund"])
    dispute: str = Field(pattern=_HASH, examples=["4d" * 32], description="hash of the dispute")


class Disputing(RequestBody):
    """What the institution disputes; to its own agent."""

    subject: str = Field(pattern=_HASH, examples=["4d" * 32], description="hash of an entry, or of its document")
    kind: DisputeKind
    amount: str | None = Field(default=None, pattern=_USD, examples=["1200"], description="USD in dispute")
    undisputed: str | None = Field(default=None, pattern=_USD, examples=["400"], description="USD that is agreed to")
    reason: str = Field(pattern=_WORDS, examples=["the haircut of ETH is 12 %, not 15 %"])


class Resolving(RequestBody):
    """What the institution offers to end its dispute by; to its own agent. Nothing said: what the operator proposes."""

    offer: Proposal | None = None
    ticks: Count = Field(default=1000, le=100_000, examples=["1000"], description="for which it is bound to it")


class SignedOf(ResponseBody):
    """Something about a dispute was signed."""

    document: str
    """Its hash."""
