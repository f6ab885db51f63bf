"""Bodies of the operator's HTTP interface about defaults and the guarantee fund; see `messages` for their rules."""

from pydantic import Field

from atomic_margin.service.protocol.messages import Count, JsonObject, RequestBody, ResponseBody
from atomic_margin.service.protocol.names import NAME

_NAME = NAME
_WHOLE = r"^(0|[1-9][0-9]{0,17})$"
_LABEL = r"^[ -~]{1,64}$"


class Realisation(RequestBody):
    """The operator sold a part of what a liquidation segregated."""

    institution: str = Field(pattern=_NAME, examples=["fund"])
    asset: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["BTC"])
    quantity: str = Field(pattern=_WHOLE, examples=["25000000"], description="smallest units")
    proceeds: str = Field(pattern=_WHOLE, examples=["16000000000"], description="smallest units of cash")
    reference: str = Field(pattern=_LABEL, examples=["trade-0017"], description="of the trade; one is booked once")
    reason: str = Field(pattern=_LABEL, examples=["first stage"])


class Contribution(RequestBody):
    """Cash arrived for the guarantee fund, or for the operator's capital."""

    institution: str | None = Field(
        default=None, pattern=_NAME, examples=["fund"], description="absent for the operator's capital"
    )
    quantity: str = Field(pattern=_WHOLE, examples=["1000000000"], description="smallest units of cash")
    reference: str = Field(pattern=_LABEL, examples=["custodian-0018"], description="one is booked once")


class AgreedLoss(RequestBody):
    """The operator agrees to the loss that an institution signed."""

    institution: str = Field(pattern=_NAME, examples=["fund"])
    agreement: str = Field(pattern=r"^[0-9a-f]{64}$", examples=["4d" * 32], description="hash of the document")


class ClosingOut(RequestBody):
    """The default of an institution is closed out by the loss that both sides signed."""

    institution: str = Field(pattern=_NAME, examples=["fund"])


class LossOffered(ResponseBody):
    """The loss that an institution signed last, and what stands against it."""

    institution: str
    agreement: str
    """Hash of the institution's document: what the operator agrees to."""
    document: JsonObject
    """Signed."""
    asked_at: str
    problem: str | None
    """Why no entry can be made of it, as the account is now; None if one can."""


class LayerView(ResponseBody):
    """What one pool bears, or would bear by now."""

    layer: str
    institution: str | None
    available: Count
    drawn: Count


class DefaultView(ResponseBody):
    """Where a default stands."""

    institution: str
    state: str
    cash: str
    top_up_usd: str | None
    realised_usd: str | None
    stages: Count
    held: dict[str, Count]
    loss: Count | None
    """That both sides signed; None as long as they did not."""
    lines: tuple[LayerView, ...]
    """Who bears it; of a default without an agreed loss, what there would be."""
    uncovered: Count
    returned: dict[str, Count]
    evidence: JsonObject
    """For `atomic-margin verify-default`."""
