"""Hand the hash of a document that the operator does not take to a witness, and keep its receipt."""

import httpx

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import MalformedResponse, RemoteError, RequestError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.protocol.delivery import DeliveryReceipt, read_receipt
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import public_key_of

MAX_RECEIPT_BYTES = 4096
TIMEOUT_SECONDS = 10.0


def deliver(
    url: str, key: str, log: str, document: str, timeout: float = TIMEOUT_SECONDS
) -> tuple[SignedDocument, DeliveryReceipt]:
    """Return a witness's receipt of a document, signed and typed; the same one however often it is asked for.

    Args:
        url: where the witness serves.
        key: of the witness, as the trust file has it: name+identifier+base64.
        log: origin of the operator's log.
        document: hash of the body of what the operator does not take.
        timeout: seconds the witness has to answer.

    Raises:
        RemoteError: it does not answer, or refuses.
        MalformedResponse: it answers with something else than its receipt of this document.
    """
    place = f"{url.rstrip('/')}/add-delivery"
    try:
        response = httpx.post(place, json={"log": log, "document": document}, timeout=timeout)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RemoteError(f"the witness at {url} does not answer: {error}; ask another one") from error
    if response.status_code != 200:
        raise RemoteError(
            f"the witness at {url} gives no receipt: {response.status_code} {response.text[:200]}", response.status_code
        )
    if len(response.content) > MAX_RECEIPT_BYTES:
        raise MalformedResponse(f"the witness at {url} answers with over {MAX_RECEIPT_BYTES} bytes", "receipt")
    try:
        return read_receipt(parse_json(response.content), frozenset({public_key_of(key)}), log, document)
    except (RequestError, DocumentsError) as error:
        raise MalformedResponse(
            f"the witness at {url} answers with no receipt of its own: {error}", "receipt"
        ) from error
