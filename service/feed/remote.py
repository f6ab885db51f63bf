"""An operator's ticks, as a source reads them over HTTP before it signs, and where it sends what it signed.

Nothing that comes back is believed unchecked.
"""

import json
import ssl
from typing import Any

import httpx

from atomic_margin.documents.errors import DocumentError
from atomic_margin.documents.strict import D
from atomic_margin.service.errors import MalformedRequest, MalformedResponse, RemoteError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.protocol.leaves import price_leaf
from atomic_margin.service.protocol.messages import LastTick, OperatorView, PriceReceipt
from atomic_margin.service.protocol.signing import SignedDocument

MAX_RESPONSE_BYTES = 16 << 20


class OperatorTicks:
    """The public endpoints of one operator that a source needs."""

    def __init__(self, url: str, timeout: float = 60, verify: ssl.SSLContext | bool = True) -> None:
        """Ask the operator at `url`, which `verify` checks to be it."""
        self._url, self._timeout, self._verify = url.rstrip("/"), timeout, verify

    def newest(self) -> LastTick:
        """Return the newest tick."""
        return self._get(LastTick, "/v1/ticks")

    def tick(self, sequence: int) -> SignedDocument:
        """Return a tick by its number."""
        return self._get(SignedDocument, f"/v1/ticks/{sequence}")

    def operator(self) -> str:
        """Return the public key that the operator says is its own."""
        return self._get(OperatorView, "/v1/operator").operator

    def push(self, signed: SignedDocument, auth: httpx.Auth) -> PriceReceipt:
        """Send a document in a request that `auth` signs, and return where it stands in the log.

        Raises:
            MalformedResponse: the leaf is that of another document, or of another number.
        """
        receipt = self._answer(PriceReceipt, "POST", "/v1/prices", signed.to_json(), auth)
        received_at = receipt.header.get("received_at")
        try:
            expected = price_leaf(signed, received_at if isinstance(received_at, str) else "")
        except DocumentError as error:
            raise MalformedResponse(f"{self._url} answers with no leaf of this document: {error}", "header") from error
        if receipt.header != expected.canonical():
            raise MalformedResponse(f"{self._url} answers with the leaf of another document", "header")
        return receipt

    def _get(self, kind: type[D], path: str) -> D:
        return self._answer(kind, "GET", path)

    def _answer(self, kind: type[D], method: str, path: str, sent: object = None, auth: httpx.Auth | None = None) -> D:
        """Return what the operator answers.

        Raises:
            RemoteError: it does not answer, or with an error.
            MalformedResponse: it answers with something else.
        """
        data = b""
        try:
            with httpx.stream(
                method, self._url + path, json=sent, timeout=self._timeout, auth=auth, verify=self._verify
            ) as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MAX_RESPONSE_BYTES:
                        raise RemoteError(f"{self._url} answers {path} with over {MAX_RESPONSE_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(f"{self._url} does not answer {path}: {error}; is the operator running?") from error
        if not response.is_success:
            said = f"{self._url} answers {path} with status {response.status_code}"
            raise RemoteError(f"{said}: {_detail(data)}", response.status_code)
        try:
            value: Any = parse_json(data, path)
            return kind.parse(value)
        except (DocumentError, MalformedRequest) as error:
            raise MalformedResponse(f"{self._url} answers {path} with no {kind.__name__}: {error}", "$") from error


def _detail(data: bytes) -> str:
    """Return what a problem document says, for people."""
    try:
        # Its status is a number, which no document of the protocol has.
        problem = json.loads(data)
    except ValueError:
        return "no problem document"
    return str(problem.get("detail", "no detail")) if isinstance(problem, dict) else "no problem document"
