"""What goes over HTTP, unsigned, about collateral agreements and custodians, and how both sides amend them."""

from typing import Any

from pydantic import Field

from atomic_margin.service.protocol.messages import Count, RequestBody, ResponseBody
from atomic_margin.service.protocol.names import NAME

JsonObject = dict[str, Any]


class AmendmentRequest(ResponseBody):
    """What an institution last asked its operator to amend, and what stands against it."""

    institution: str
    amendment: str
    """Hash of the institution's document: what the operator agrees to."""
    document: JsonObject
    """Signed."""
    asked_at: str
    problem: str | None
    """Why no entry can be made of it, as the account is now; None if one can."""


class AmendmentAgreed(RequestBody):
    """The operator agrees to other terms of collateral, or other custodians, that an institution signed."""

    institution: str = Field(pattern=NAME, examples=["fund"])
    amendment: str = Field(pattern=r"^[0-9a-f]{64}$", examples=["4d" * 32], description="hash of the document")


class Amending(RequestBody):
    """Other terms of collateral, and for how many ticks the institution is bound to what it signs."""

    agreement: JsonObject
    ticks: Count = Field(le=100_000, examples=["100"])


class AmendingCustody(RequestBody):
    """Other custodians, or none, and for how many ticks the institution is bound to what it signs."""

    custody: JsonObject | None = None
    ticks: Count = Field(le=100_000, examples=["100"])


class AskedToAmend(ResponseBody):
    """The operator was asked to amend the account's collateral agreement, or who its custodians are."""

    amendment: str
    """Hash of what was signed; the operator's people see it before they agree."""
