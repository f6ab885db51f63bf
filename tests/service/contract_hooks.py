"""What schemathesis loads beside the contract (`test_contract`): signatures of requests, and a check for strangers.

It runs in a process of its own, and is told by the environment who calls.
"""

import os
from pathlib import Path

import httpx
import requests
import schemathesis

from atomic_margin.service.http.signatures import RequestSigner
from atomic_margin.service.operator.web.access import access_of
from atomic_margin.service.protocol.signing import Identity

IDENTITY, OPERATOR, ADDRESS, STRANGER = (
    "CONTRACT_IDENTITY",
    "CONTRACT_OPERATOR",
    "CONTRACT_ADDRESS",
    "CONTRACT_STRANGER",
)
"""File of the key that signs, key and address of the operator; whether the caller is nobody."""
CLOSED = {401, 403, 404}
MALFORMED = {400, 405, 411, 414, 501}
"""Said before it is known whose an address is: there is none such, or it cannot be one."""


class Signing(requests.auth.AuthBase):
    """Signs as an agent does, what is about to be sent."""

    def __init__(self, signer: RequestSigner) -> None:
        self._signer = signer

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.setdefault("Host", httpx.URL(request.url or "").netloc.decode())
        self._signer.sign(_Sent(request))  # type: ignore[arg-type]
        return request


class _Sent:
    """A request of the other library, with what a signature covers; its address is taken as it is."""

    def __init__(self, request: requests.PreparedRequest) -> None:
        body = request.body or b""
        self.method, self.url, self.headers = request.method, request.url, request.headers
        self.content = body.encode() if isinstance(body, str) else body


if IDENTITY in os.environ:
    identity = Identity.load_or_create(Path(os.environ[IDENTITY]))
    signer = RequestSigner(identity.public_key, identity.sign_request, os.environ[OPERATOR])
    # It learns the epoch: what follows is signed once.
    httpx.get(f"{os.environ[ADDRESS]}/v1/operator", auth=signer).raise_for_status()
    schemathesis.auth.set_from_requests(Signing(signer))


if STRANGER in os.environ:

    @schemathesis.check
    def strangers_see_what_is_public(
        _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
    ) -> None:
        """Nobody sees, or does, what the table of access keeps for somebody."""
        method = str(response.request.method)
        found = access_of(method, httpx.URL(str(response.request.url)).path)
        if found is None or not found[0].anybody:
            assert response.status_code in CLOSED | MALFORMED, f"{method} {case.formatted_path}: {response.status_code}"
