"""A custodian's calls on the operator's HTTP face. Nothing that it returns is believed: what counts is signed.

Requests are signed with the custodian's identity key (RFC 9421).
"""

import hashlib
import json
import ssl
from typing import Any, Protocol

import httpx

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.errors import DocumentError
from atomic_margin.documents.strict import D
from atomic_margin.service.errors import MalformedRequest, MalformedResponse, RemoteError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.http.signatures import RequestSigner
from atomic_margin.service.protocol.custodian_messages import (
    DealingsOfCustodian,
    FindingBrought,
    Openings,
    OpeningStanding,
    Refuses,
    RowBox,
    RowBoxes,
    TakesPart,
    VoidBrought,
)
from atomic_margin.service.protocol.messages import RequestBody
from atomic_margin.service.protocol.resharing_messages import PassedOnUpload, ResharingDeals, Resharings
from atomic_margin.service.protocol.signing import Identity, SignedDocument

MAX_RESPONSE_BYTES = 16 << 20
MAX_HISTORY_BYTES = 1 << 28
"""Of the history of an account, as a monitor reads it."""
MAX_PROBLEM_BYTES = 1 << 16
TIMEOUT_SECONDS = 30.0
NOT_SHOWN = "urn:atomic-margin:problem:not-authorised"
"""What is answered about something that there is not, as about something that is not for the caller."""
_ROOT = "/v1/custodian"


class CallsOperator(Protocol):
    """What a custodian asks of an operator."""

    def dealings(self) -> DealingsOfCustodian:
        """Return deals of whose shares it has not said anything yet."""

    def has(self, deal: str) -> bool:
        """Return whether the operator still has a deal, so that a submission could name it."""

    def coefficients(self, deal: str, short: bool) -> bytes:
        """Return the bytes of a deal, without its last degree or whole."""

    def box(self, deal: str) -> bytes | None:
        """Return the custodian's own box; None if there is none."""

    def receipt(self, deal: str, document: SignedDocument) -> None:
        """Send a receipt."""

    def complain(self, deal: str, document: SignedDocument) -> None:
        """Send a complaint."""

    def history(self, institution: str) -> dict[str, Any]:
        """Return the history of an account, unchecked."""

    def openings(self) -> Openings:
        """Return what is open."""

    def opening(self, request: str) -> OpeningStanding:
        """Return how far an opening is."""

    def take_part(self, request: str, part: TakesPart) -> None:
        """Say that it computes with others, or that a session came to nothing."""

    def refuse(self, request: str, refusal: Refuses) -> None:
        """Say why it does not."""

    def send_rows(self, request: str, box: RowBox) -> None:
        """Send shares of the rows to the closer."""

    def rows(self, request: str) -> RowBoxes:
        """Return what others sent; for the closer."""

    def bring(self, request: str, brought: FindingBrought) -> None:
        """Bring what was found, with a verdict about it."""

    def bring_void(self, request: str, brought: VoidBrought) -> None:
        """Bring what makes a finding void; for who opened its rows."""

    def resharings(self) -> Resharings:
        """Return re-sharings in which something is left for it to do."""

    def resharing_deals(self, request: str) -> ResharingDeals:
        """Return what dealers passed on to it."""

    def pass_on(self, request: str, upload: PassedOnUpload) -> None:
        """Pass its shares on."""

    def new_receipt(self, request: str, document: dict[str, Any]) -> None:
        """Send a receipt of new shares."""

    def new_complaint(self, request: str, document: dict[str, Any]) -> None:
        """Send a complaint about a dealer."""

    def public(self, path: str, limit: int) -> bytes:
        """Return what is served to anybody, of at most so many bytes."""


class OperatorClient:
    """One operator, one custodian."""

    def __init__(
        self,
        url: str,
        identity: Identity,
        operator: str,
        verify: ssl.SSLContext | bool = True,
        timeout: float = TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connect lazily.

        Args:
            url: of the operator's server.
            identity: signs requests.
            operator: its public key, which requests name.
            verify: checks the server's certificate.
            timeout: of a call, in seconds.
            transport: carries requests, where that is not the net.
        """
        self._http = httpx.Client(base_url=url, timeout=timeout, verify=verify, transport=transport)
        self._auth = RequestSigner(identity.public_key, identity.sign_request, operator)

    def dealings(self) -> DealingsOfCustodian:
        """Return deals of whose shares it has not said anything yet."""
        return self._message(DealingsOfCustodian, f"{_ROOT}/dealings")

    def has(self, deal: str) -> bool:
        """Return whether the operator still has a deal, so that a submission could name it."""
        try:
            self._call("GET", f"{_ROOT}/dealings/{deal}")
        except RemoteError as error:
            # Of what it does not have, it does not say whether a custodian might see it.
            if error.status == httpx.codes.NOT_FOUND or error.problem.get("type") == NOT_SHOWN:
                return False
            raise
        return True

    def coefficients(self, deal: str, short: bool) -> bytes:
        """Return the bytes of a deal, without its last degree or whole."""
        return self._call("GET", f"{_ROOT}/dealings/{deal}/coefficients" + ("?short=true" if short else ""))

    def box(self, deal: str) -> bytes | None:
        """Return the custodian's own box; None if there is none."""
        try:
            return self._call("GET", f"{_ROOT}/dealings/{deal}/box")
        except RemoteError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise

    def receipt(self, deal: str, document: SignedDocument) -> None:
        """Send a receipt."""
        self._send(f"{_ROOT}/dealings/{deal}/receipt", document.to_json())

    def complain(self, deal: str, document: SignedDocument) -> None:
        """Send a complaint."""
        self._send(f"{_ROOT}/dealings/{deal}/complaint", document.to_json())

    def history(self, institution: str) -> dict[str, Any]:
        """Return the history of an account, unchecked."""
        return self._json(f"{_ROOT}/accounts/{institution}/history", MAX_HISTORY_BYTES)

    def openings(self) -> Openings:
        """Return what is open."""
        return self._message(Openings, f"{_ROOT}/openings")

    def opening(self, request: str) -> OpeningStanding:
        """Return how far an opening is."""
        return self._message(OpeningStanding, f"{_ROOT}/openings/{request}")

    def take_part(self, request: str, part: TakesPart) -> None:
        """Say that it computes with others, or that a session came to nothing."""
        self._send(f"{_ROOT}/openings/{request}/part", _body(part))

    def refuse(self, request: str, refusal: Refuses) -> None:
        """Say why it does not."""
        self._send(f"{_ROOT}/openings/{request}/refusal", _body(refusal))

    def send_rows(self, request: str, box: RowBox) -> None:
        """Send shares of the rows to the closer."""
        self._send(f"{_ROOT}/openings/{request}/rows", _body(box))

    def rows(self, request: str) -> RowBoxes:
        """Return what others sent; for the closer."""
        return self._message(RowBoxes, f"{_ROOT}/openings/{request}/rows")

    def bring(self, request: str, brought: FindingBrought) -> None:
        """Bring what was found, with a verdict about it."""
        self._send(f"{_ROOT}/openings/{request}/finding", _body(brought))

    def bring_void(self, request: str, brought: VoidBrought) -> None:
        """Bring what makes a finding void; for who opened its rows."""
        self._send(f"{_ROOT}/openings/{request}/void", _body(brought))

    def resharings(self) -> Resharings:
        """Return re-sharings in which something is left for it to do."""
        return self._message(Resharings, f"{_ROOT}/resharings")

    def resharing_deals(self, request: str) -> ResharingDeals:
        """Return what dealers passed on to it."""
        return self._message(ResharingDeals, f"{_ROOT}/resharings/{request}/deals")

    def pass_on(self, request: str, upload: PassedOnUpload) -> None:
        """Pass its shares on."""
        self._send(f"{_ROOT}/resharings/{request}/shares", _body(upload))

    def new_receipt(self, request: str, document: dict[str, Any]) -> None:
        """Send a receipt of new shares."""
        self._send(f"{_ROOT}/resharings/{request}/receipt", document)

    def new_complaint(self, request: str, document: dict[str, Any]) -> None:
        """Send a complaint about a dealer."""
        self._send(f"{_ROOT}/resharings/{request}/complaint", document)

    def public(self, path: str, limit: int) -> bytes:
        """Return what is served to anybody, of at most so many bytes."""
        return self._call("GET", f"/{path}", limit=limit)

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    def _message(self, kind: type[D], path: str) -> D:
        try:
            return kind.parse(self._json(path))
        except DocumentError as error:
            raise MalformedResponse(
                f"the operator answers GET {path} with no {kind.__name__}: {error}; one of the two sides may need an "
                "update",
                error.field,
            ) from error

    def _json(self, path: str, limit: int = MAX_RESPONSE_BYTES) -> dict[str, Any]:
        data = self._call("GET", path, limit=limit)
        try:
            value = parse_json(data, path)
        except MalformedRequest as error:
            raise MalformedResponse(f"the operator answers GET {path} with no such JSON: {error}", "$") from error
        if not isinstance(value, dict):
            raise MalformedResponse(f"the operator answers GET {path} with something else than a JSON object", "$")
        return value

    def _send(self, path: str, body: dict[str, Any]) -> None:
        data = canonical_bytes(body)
        # The same request has the same key, also by a process that was started anew; a session that is given up is said
        # once more with another number.
        key = hashlib.sha256(path.encode() + b"\0" + data).hexdigest()
        self._call("POST", path, data, {"Content-Type": "application/json", "Idempotency-Key": key})

    def _call(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        limit: int = MAX_RESPONSE_BYTES,
    ) -> bytes:
        """Return the body of an answer.

        Raises:
            RemoteError: there is none, or a refusal.
        """
        try:
            with self._http.stream(method, path, auth=self._auth, headers=headers, content=content) as response:
                most = limit if response.is_success else MAX_PROBLEM_BYTES
                data = b""
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > most:
                        raise RemoteError(f"the operator answers {method} {path} with over {most} bytes")
        except httpx.HTTPError as error:
            raise RemoteError(f"the operator does not answer {method} {path}: {error}; is it running?") from error
        if response.is_success:
            return data
        raise _refusal(method, path, response.status_code, data)


def _body(message: RequestBody) -> dict[str, Any]:
    value = message.canonical()
    if not isinstance(value, dict):
        raise TypeError("a body is a JSON object")
    return value


def _refusal(method: str, path: str, status: int, data: bytes) -> RemoteError:
    try:
        problem = json.loads(data)
    except ValueError:
        problem = {}
    problem = problem if isinstance(problem, dict) else {}
    reason = str(problem.get("detail") or "no reason given")[:500]
    return RemoteError(f"the operator refuses {method} {path} ({status}): {reason}", status, problem)
