"""The gateway of the operator's ENS name (ERC-3668), where `serve --ens-gateway` names one."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from atomic_margin.service.errors import NotFound
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import checkpoints
from atomic_margin.service.pointer.gateway import GatewayAnswer

SenderPath = Annotated[str, Path(max_length=42, pattern="^0x[0-9a-fA-F]{40}$")]
DataPath = Annotated[str, Path(max_length=514, pattern="^0x([0-9a-fA-F]{2})+$")]


def ens_router(operator: Operator) -> APIRouter:
    """Return the route of an operator's gateway."""
    router = APIRouter(tags=["public"])

    @router.get("/v1/ens/{sender}/{data}.json")
    def answer(sender: SenderPath, data: DataPath, response: Response) -> GatewayAnswer:
        """What the resolver of the operator's name asks for, signed: newest checkpoint, addresses, content hash."""
        gateway = operator.settings.ens_gateway
        if gateway is None:
            raise NotFound("this operator answers for no name", "sender")
        # Whoever looks a name up in a browser comes from another page.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cache-Control"] = "no-cache"

        def newest() -> str | None:
            with operator.store.reading() as session:
                row = checkpoints.newest(session)
            return None if row is None else row.note

        return GatewayAnswer(data=gateway.answer(sender, data, newest))

    return router
