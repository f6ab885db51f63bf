"""An operator's ticks, as a source reads them over HTTP before it signs. Nothing in them is believed unchecked."""

from typing import Any

import httpx

from atomic_margin.documents.errors import DocumentError
from atomic_margin.documents.strict import D
from atomic_margin.service.errors import MalformedRequest, MalformedResponse, RemoteError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.protocol.messages import LastTick
from atomic_margin.service.protocol.signing import SignedDocument

MAX_RESPONSE_BYTES = 16 << 20


class OperatorTicks:
    """The public endpoints of one operator that a source needs."""

    def __init__(self, url: str, timeout: float = 60) -> None:
        """Ask the operator at `url`."""
        self._url, self._timeout = url.rstrip("/"), timeout

    def newest(self) -> LastTick:
        """Return the newest tick."""
        return self._get(LastTick, "/v1/ticks")

    def tick(self, sequence: int) -> SignedDocument:
        """Return a tick by its number."""
        return self._get(SignedDocument, f"/v1/ticks/{sequence}")

    def _get(self, kind: type[D], path: str) -> D:
        """Return what the operator answers.

        Raises:
            RemoteError: it does not answer, or with an error.
            MalformedResponse: it answers with something else.
        """
        data = b""
        try:
            with httpx.stream("GET", self._url + path, timeout=self._timeout) as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MAX_RESPONSE_BYTES:
                        raise RemoteError(f"{self._url} answers {path} with over {MAX_RESPONSE_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(f"{self._url} does not answer {path}: {error}; is the operator running?") from error
        if not response.is_success:
            raise RemoteError(f"{self._url} answers {path} with status {response.status_code}", response.status_code)
        try:
            value: Any = parse_json(data, path)
            return kind.parse(value)
        except (DocumentError, MalformedRequest) as error:
            raise MalformedResponse(f"{self._url} answers {path} with no {kind.__name__}: {error}", "$") from error
