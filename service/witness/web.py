"""The HTTP face of a witness: `POST /add-checkpoint` of C2SP tlog-witness, what it cosigned last, and receipts."""

from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import PlainTextResponse, Response

import atomic_margin
from atomic_margin.service.errors import NotFound
from atomic_margin.service.http import problems
from atomic_margin.service.http.contract import install_contract
from atomic_margin.service.http.gate import install_gate
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.limits import BodyLimit
from atomic_margin.service.http.outside_json import parse_body
from atomic_margin.service.http.reference import install_reference
from atomic_margin.service.log.errors import MalformedNote, ProofInvalid
from atomic_margin.service.log.requests import MAX_REQUEST_BYTES, AddCheckpoint
from atomic_margin.service.protocol.delivery import DeliveryRequest
from atomic_margin.service.protocol.messages import Health
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.witness.errors import OtherSize, WitnessError
from atomic_margin.service.witness.witness import Witness

LIMITS = Limits.parse(
    {
        "reads_per_second": "20",
        "reads_burst": "200",
        "writes_per_second": "10",
        "writes_burst": "100",
        "requests": "64",
        "requests_of_a_peer": "16",
        "bodies": "32",
        "bodies_of_a_peer": "8",
        "connections": "256",
        "connections_of_a_peer": "64",
    }
)
"""By address: who brings a checkpoint or a hash is not asked. An operator brings one in some seconds."""


async def _whole_body(request: Request) -> bytes:
    return await request.body()


WholeBody = Annotated[bytes, Depends(_whole_body)]


def create_app(witness: Witness, limits: Limits = LIMITS) -> FastAPI:
    """Return the application of a witness."""
    app = FastAPI(
        title="atomic-margin witness",
        version=atomic_margin.__version__,
        docs_url=None,
        redoc_url=None,
        # A redirection would go to whatever host the request names.
        redirect_slashes=False,
        summary="Cosigns checkpoints of logs that only grow",
        description=f"Key: `{witness.key}`. The protocol is C2SP tlog-witness.",
    )
    problems.install(app)
    install_contract(app)
    install_reference(app)
    app.add_middleware(BodyLimit, limit_of=lambda _: MAX_REQUEST_BYTES)
    # The last one that is added is the outermost.
    install_gate(app, limits)

    @app.exception_handler(WitnessError)
    def _refused(_: Request, error: WitnessError) -> Response:
        if isinstance(error, OtherSize):
            # The type without a character set, as it is specified.
            return Response(f"{error.size}\n".encode(), error.status, {"Content-Type": "text/x.tlog.size"})
        return PlainTextResponse(f"{error}\n", error.status)

    @app.exception_handler(MalformedNote)
    def _malformed(_: Request, error: MalformedNote) -> Response:
        return PlainTextResponse(f"{error}\n", 400)

    @app.exception_handler(ProofInvalid)
    def _unproven(_: Request, error: ProofInvalid) -> Response:
        return PlainTextResponse(f"{error}\n", 422)

    @app.get("/healthz")
    def healthz() -> Health:
        """Say that the witness answers."""
        return Health(status="ok", version=atomic_margin.__version__)

    # No route below is a coroutine: they wait for the disk, in threads, and others are answered meanwhile.

    @app.post("/add-checkpoint", response_class=PlainTextResponse)
    def add_checkpoint(body: WholeBody) -> PlainTextResponse:
        """Cosign a checkpoint that goes on from the newest one here; the answer is one signature line."""
        return PlainTextResponse(witness.add(AddCheckpoint.parse(body)))

    @app.get("/checkpoint", response_class=PlainTextResponse)
    def checkpoint(origin: Annotated[str, Query(max_length=128)]) -> PlainTextResponse:
        """The newest checkpoint of a log that was cosigned: what a log looks at before it signs after a restart."""
        found = witness.latest(origin)
        if found is None:
            raise NotFound(f"no checkpoint of {origin!r} was cosigned yet", "origin")
        return PlainTextResponse(str(found))

    @app.post("/add-delivery")
    def add_delivery(body: WholeBody, request: Request) -> SignedDocument:
        """Take the hash of a signed document that an operator does not take; the answer is a signed receipt."""
        asked = DeliveryRequest.parse(parse_body(body))
        return witness.deliveries.receipt(asked, "" if request.client is None else request.client.host)

    return app
