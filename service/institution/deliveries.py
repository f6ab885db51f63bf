"""Hand the hash of a document that the operator does not take to witnesses, and keep their receipts.

A receipt shows that the document was there by a time. Against one that is early enough, an operator that declares the
run overdue contradicts what a witness signed (`service.log.clock.check_undelivered`).
"""

import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import ConfigurationError, MalformedResponse, RemoteError, RequestError
from atomic_margin.service.files import read_json, replace_json
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.protocol.delivery import DeliveryReceipt, read_receipt
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import LogTrust, public_key_of

MAX_RECEIPT_BYTES = 4096
TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 30.0
"""Before a witness that gave no receipt is asked again."""
FOLDER = "receipts"


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


class Deliveries:
    """Hands hashes on to every witness, and keeps receipts as ``receipts/DOCUMENT-WITNESS.json``."""

    def __init__(self, directory: Path, log: LogTrust, witnesses: Sequence[tuple[str, str]]) -> None:
        """Use the folder of an institution; ``witnesses`` are addresses and keys.

        Raises:
            ConfigurationError: there is none, or one that the trust file does not name.
        """
        unknown = [key for _, key in witnesses if key not in log.witnesses]
        if unknown or not witnesses:
            raise ConfigurationError(
                "receipts count from witnesses of the trust file alone; "
                + (f"{unknown[0].partition('+')[0]} is none of them" if unknown else "name one")
            )
        self._folder, self._log, self._witnesses = directory / FOLDER, log.origin, tuple(witnesses)
        self._asked_again: dict[str, float] = {}

    def __call__(self, document: str) -> None:
        """Get a receipt of a document, by the hash of its body, from every witness that has given none yet.

        Raises:
            RemoteError: none gives one, or gave one before; it is asked again later.
        """
        problems, kept = [], 0
        for url, key in self._witnesses:
            place = self._folder / f"{document}-{public_key_of(key)[:16]}.json"
            if place.exists():
                kept += 1
                continue
            if time.monotonic() < self._asked_again.get(url, 0.0):
                problems.append(f"the witness at {url} is asked again later")
                continue
            try:
                signed, _ = deliver(url, key, self._log, document)
            except RemoteError as error:
                self._asked_again[url] = time.monotonic() + RETRY_SECONDS
                problems.append(str(error))
                continue
            self._folder.mkdir(mode=0o700, exist_ok=True)
            replace_json(place, signed.to_json())
            kept += 1
        if not kept:
            raise RemoteError(f"no witness gives a receipt of document {document[:16]}…: {'; '.join(problems)}")


def read_receipts(directory: Path, log: LogTrust, document: str) -> list[tuple[SignedDocument, DeliveryReceipt]]:
    """Return the receipts that an institution's folder has of a document, each checked.

    Args:
        directory: of the institution.
        log: whose witnesses count.
        document: hash of the document's body.

    Raises:
        ConfigurationError: a file there is no receipt; restore it from a backup, or move it away.
    """
    found = []
    for path in sorted((directory / FOLDER).glob(f"{document}-*.json")):
        try:
            found.append(read_receipt(read_json(path), frozenset(log.witness_keys), log.origin, document))
        except (RequestError, DocumentsError) as error:
            raise ConfigurationError(f"{path} is no receipt of a trusted witness: {error}; move it away") from error
    return found
