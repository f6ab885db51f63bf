"""Netting in the HTTP face: the operator names parties and nets a cycle; who promises does it by its own address."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field

from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.protocol.messages import RequestBody, ResponseBody
from atomic_margin.service.protocol.names import NAME
from atomic_margin.service.protocol.signing import SignedDocument


class PartyOf(RequestBody):
    """Which legal party an account is of."""

    institution: str = Field(pattern=NAME, examples=["fund"])
    party: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", examples=["5493001KJTIIGC8Y1R12"])
    scope: Literal["party", "principal"] = Field(default="party", examples=["party"])


class Arrived(RequestBody):
    """A group whose net delivery the custodian has, whole."""

    scope: Literal["party", "principal"] = Field(examples=["party"])
    party: str = Field(examples=["5493001KJTIIGC8Y1R12"], max_length=64)
    asset: str = Field(examples=["USDC"], max_length=64)
    settles: str = Field(examples=["2026-11-27"], max_length=10)


class NetCycle(RequestBody):
    """Net what was promised until a day."""

    settles: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["2026-11-27"])
    arrived: list[Arrived] = Field(default_factory=list, max_length=4096)
    dry_run: bool = Field(default=False, examples=[True])


class NettedCycle(ResponseBody):
    """Gross and net of every group of a cycle, in smallest units."""

    cycle: str
    settles: str
    groups: list[dict[str, str]]


def netting_router(operator: Operator) -> APIRouter:
    """Return the calls of netting."""
    router = APIRouter(prefix="/v1", tags=["operator"])

    @router.post("/parties", status_code=201)
    def name_party(named: PartyOf) -> SignedDocument:
        """Say which legal party an account is of; returns the signed entry."""
        return netting.name_party(operator, named.institution, named.party, named.scope)

    @router.post("/netting", status_code=201)
    def net(cycle: NetCycle) -> NettedCycle:
        """Net what all accounts promised until a day, or show what it would be; the same day again changes nothing."""
        arrived = [(one.scope, one.party, one.asset, one.settles) for one in cycle.arrived]
        found: dict[str, Any] = netting.net_cycle(operator, cycle.settles, arrived, cycle.dry_run)
        return NettedCycle(**found)

    return router
