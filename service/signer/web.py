"""The HTTP face of a signer: what it attests, and what it did. Anybody may ask; what is signed is public.

Errors are RFC 9457. A request costs much of a core, so few are taken at once, and few from one address.
"""

from typing import Annotated

from fastapi import Depends, FastAPI, Request

import atomic_margin
from atomic_margin.service.files import MAX_FILE_BYTES
from atomic_margin.service.http import problems
from atomic_margin.service.http.contract import install_contract
from atomic_margin.service.http.gate import install_gate
from atomic_margin.service.http.limit_table import Limits
from atomic_margin.service.http.limits import BodyLimit
from atomic_margin.service.http.outside_json import parse_body
from atomic_margin.service.http.reference import install_reference
from atomic_margin.service.protocol.chain_documents import RegistrationRequest
from atomic_margin.service.protocol.messages import Health
from atomic_margin.service.signer.errors import ChainUnreachable
from atomic_margin.service.signer.matrices import SettlementRequest
from atomic_margin.service.signer.messages import Happened, SignedAttestation, SignerStatus
from atomic_margin.service.signer.signer import Signed, Signer

MAX_REQUEST_BYTES = MAX_FILE_BYTES
LIMITS = Limits.parse(
    {
        "reads_per_second": "10",
        "reads_burst": "100",
        "writes_per_second": "1",
        "writes_burst": "30",
        "requests": "32",
        "requests_of_a_peer": "16",
        "bodies": "16",
        "bodies_of_a_peer": "8",
        "connections": "256",
        "connections_of_a_peer": "64",
    }
)
"""By address, since a signer knows nobody who asks."""


async def _whole_body(request: Request) -> bytes:
    return await request.body()


WholeBody = Annotated[bytes, Depends(_whole_body)]


def create_app(signer: Signer, limits: Limits = LIMITS) -> FastAPI:
    """Return the application of a signer."""
    addresses = signer.place.addresses
    app = FastAPI(
        title="atomic-margin signer",
        version=atomic_margin.__version__,
        docs_url=None,
        redoc_url=None,
        # A redirection would go to whatever host the request names.
        redirect_slashes=False,
        summary="Attests for a vault what it verified itself",
        description=f"Signer `{signer.address}`, for vault `{addresses.vault}` on chain {addresses.chain}.",
    )
    problems.install(app)
    install_contract(app)
    install_reference(app)
    app.add_middleware(BodyLimit, limit_of=lambda _: MAX_REQUEST_BYTES)
    # The last one that is added is the outermost.
    install_gate(app, limits)

    # No route is a coroutine: they wait for proofs, disk and chain, in threads, and others are answered meanwhile.

    @app.post("/sign-matrices")
    def sign_matrices(body: WholeBody) -> SignedAttestation:
        """Attest the matrices of a run: `{"format", "bundle", "expiry"}`, the bundle of a breach not settled yet."""
        return _answer(signer.sign_matrices(SettlementRequest.parse(parse_body(body))))

    @app.post("/sign-portfolio")
    def sign_portfolio(body: WholeBody) -> SignedAttestation:
        """Attest that a book's portfolio proof holds, for the account that its institution named."""
        return _answer(signer.sign_portfolio(RegistrationRequest.parse(parse_body(body))))

    @app.get("/healthz")
    def healthz() -> Health:
        """Say that the signer answers."""
        return Health(status="ok", version=atomic_margin.__version__)

    @app.get("/status")
    def status() -> SignerStatus:
        """Who signs, for which vault, and what was signed and refused last."""
        return status_of(signer)

    return app


def status_of(signer: Signer) -> SignerStatus:
    """Return what a signer is and did."""
    addresses, counts = signer.place.addresses, signer.journal.counts()
    try:
        moment = signer.vault.moment(signer.address)
    except ChainUnreachable:
        moment = None
    return SignerStatus(
        signer=signer.address,
        chain=addresses.chain,
        vault=addresses.vault,
        oracle=addresses.oracle,
        signer_set=None if moment is None else moment.signer_set,
        counted=None if moment is None else moment.counted,
        signed=counts["signed"],
        refused=counts["refused"],
        newest=tuple(
            Happened(kind=row.kind, subject=row.subject, said=row.said, at=row.stored_at)
            for row in signer.journal.newest()
        ),
    )


def _answer(signed: Signed) -> SignedAttestation:
    return SignedAttestation(message=signed.message, signature=signed.signature, signer=signed.signer)
