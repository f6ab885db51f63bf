"""Calls on the operator's HTTP face. Nothing it returns is believed: the agent checks signatures, hashes and terms."""

import hashlib
import json
import secrets
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import httpx

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.errors import DocumentError
from atomic_margin.documents.strict import D
from atomic_margin.service.errors import MalformedResponse, RemoteError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.institution.following import OpenStream
from atomic_margin.service.institution.uploading import upload
from atomic_margin.service.protocol.agreement_messages import AmendmentRequest
from atomic_margin.service.protocol.custodian_messages import DealingStanding
from atomic_margin.service.protocol.default_messages import LossOffered
from atomic_margin.service.protocol.dispute_messages import AccountDisputes
from atomic_margin.service.protocol.live_messages import Admitted
from atomic_margin.service.protocol.messages import (
    AccountStanding,
    AccountView,
    Challenge,
    Entries,
    GivingUpRequest,
    IssuedNonce,
    LastTick,
    RunView,
)
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.upload_messages import UploadView

JsonObject = dict[str, Any]

MAX_RESPONSE_BYTES = 16 << 20
MAX_PROBLEM_BYTES = 1 << 16
SILENCE_SECONDS = 45.0
"""After which an event stream is taken for broken; the operator says every few seconds that it stands."""


class OperatorClient:
    """One operator, one institution."""

    def __init__(
        self, url: str, institution: str, auth: httpx.Auth, timeout: float = 180, verify: ssl.SSLContext | bool = True
    ) -> None:
        """Connect lazily to the operator at `url`; `auth` signs every request, `verify` checks the server."""
        self._http = httpx.Client(base_url=url, timeout=timeout, verify=verify)
        self._path = f"/v1/institutions/{institution}"
        self._auth = auth

    def enrol(self, document: JsonObject, evaluation_keys: bytes, known_answer_input: bytes) -> Challenge:
        """Upload what the document names, as far as that is not there; return the known-answer challenge."""
        for data in (evaluation_keys, known_answer_input):
            upload(data, self.declare_upload, self.append_upload)
        return self._message(Challenge, "POST", f"{self._path}/enrolment", json=document)

    def declare_upload(self, sha256: str, size: int) -> UploadView:
        """Say that a file comes; return how far it is."""
        # Asked for anew every time: it is about what the operator has by now.
        body = json.dumps({"sha256": sha256, "size": str(size)}).encode()
        headers = {"Content-Type": "application/json"}
        return self._message(UploadView, "POST", f"{self._path}/uploads", content=body, headers=headers)

    def append_upload(self, sha256: str, offset: int, data: bytes) -> UploadView:
        """Bring bytes of a file for an offset; return how far it is."""
        headers = {"Content-Type": "application/octet-stream", "Upload-Offset": str(offset)}
        return self._message(UploadView, "PATCH", f"{self._path}/uploads/{sha256}", content=data, headers=headers)

    def confirm(self, document: JsonObject) -> AccountStanding:
        """Report the known answers."""
        return self._message(AccountStanding, "POST", f"{self._path}/enrolment/confirmation", json=document)

    def nonce(self) -> str:
        """Get the nonce of the next submission."""
        return self._message(IssuedNonce, "POST", f"{self._path}/nonce").nonce

    def submit(self, document: JsonObject) -> SignedDocument:
        """Send a submission; return its entry."""
        return self._message(SignedDocument, "POST", f"{self._path}/submissions", json=document)

    def bring_dealing(self, upload: JsonObject) -> DealingStanding:
        """Bring a deal; return how far it is."""
        return self._message(DealingStanding, "POST", f"{self._path}/dealings", json=upload)

    def dealing(self, deal: str) -> DealingStanding:
        """Get how far a deal is."""
        return self._message(DealingStanding, "GET", f"{self._path}/dealings/{deal}")

    def reseal_shares(self, deal: str, document: JsonObject) -> DealingStanding:
        """Answer a complaint; return how far the deal is."""
        return self._message(DealingStanding, "POST", f"{self._path}/dealings/{deal}/shares", json=document)

    def instruct(self, document: JsonObject) -> SignedDocument:
        """Send a collateral instruction; return its entry."""
        return self._message(SignedDocument, "POST", f"{self._path}/collateral", json=document)

    def promise(self, document: JsonObject) -> SignedDocument:
        """Send an obligation; return the signed entry."""
        return self._message(SignedDocument, "POST", f"{self._path}/obligations", json=document)

    def name_readers(self, document: JsonObject) -> SignedDocument:
        """Send a list of readers; return the signed entry."""
        return self._message(SignedDocument, "POST", f"{self._path}/readers", json=document)

    def cover(self, document: JsonObject) -> SignedDocument:
        """Send a proof that nobody asked for; return its entry."""
        return self._message(SignedDocument, "POST", f"{self._path}/coverage", json=document)

    def release(self, document: JsonObject) -> SignedDocument:
        """Send a release or a substitution; return its entry."""
        return self._message(SignedDocument, "POST", f"{self._path}/releases", json=document)

    def ask_to_give_up(self, document: JsonObject) -> GivingUpRequest:
        """Send what is to be given up; return what the operator keeps of it."""
        return self._message(GivingUpRequest, "POST", f"{self._path}/giving-up", json=document)

    def dispute(self, document: JsonObject) -> SignedDocument:
        """Send a dispute; return its entry."""
        return self._message(SignedDocument, "POST", f"{self._path}/disputes", json=document)

    def withdraw_dispute(self, document: JsonObject) -> SignedDocument:
        """Send that a dispute is withdrawn; return its entry."""
        return self._message(SignedDocument, "POST", f"{self._path}/disputes/withdrawal", json=document)

    def offer_resolution(self, document: JsonObject) -> AccountDisputes:
        """Send what is offered to end a dispute by; return what the operator keeps of it."""
        return self._message(AccountDisputes, "POST", f"{self._path}/disputes/resolution", json=document)

    def disputes(self) -> AccountDisputes:
        """Get the account's disputes, with what the operator proposes."""
        return self._message(AccountDisputes, "GET", f"{self._path}/disputes")

    def offer_loss(self, document: JsonObject) -> LossOffered:
        """Send the loss of a default that the institution agrees to; return what the operator keeps of it."""
        return self._message(LossOffered, "POST", f"{self._path}/loss", json=document)

    def rotate_identity(self, document: JsonObject) -> SignedDocument:
        """Send a rotation of the identity key; return its entry. From then on the new key signs requests."""
        return self._message(SignedDocument, "POST", f"{self._path}/identity", json=document)

    def ask_to_amend(self, document: JsonObject) -> AmendmentRequest:
        """Send an amendment of the account's agreement or custody; return what the operator keeps of it."""
        return self._message(AmendmentRequest, "POST", f"{self._path}/amendment", json=document)

    def entries(self, after: int) -> Entries:
        """Get the account's entries after a number, as many as the operator sends at once."""
        return self._message(Entries, "GET", f"{self._path}/entries", params={"after": str(after)})

    def account(self) -> AccountView:
        """Get the account's state."""
        return self._message(AccountView, "GET", self._path)

    def run(self, run_id: str) -> RunView:
        """Get a run."""
        return self._message(RunView, "GET", f"/v1/runs/{run_id}")

    def tick(self, sequence: int) -> SignedDocument:
        """Get a tick by its number."""
        return self._message(SignedDocument, "GET", f"/v1/ticks/{sequence}")

    def newest_tick(self) -> LastTick:
        """Get the newest tick."""
        return self._message(LastTick, "GET", "/v1/ticks")

    def output(self, run_id: str, function: str) -> bytes:
        """Get the raw words of an output."""
        return self._call("GET", f"/v1/runs/{run_id}/outputs/{function}")

    def answer(self, run_id: str, document: JsonObject) -> SignedDocument:
        """Send an answer; return its entry."""
        return self._message(SignedDocument, "POST", f"/v1/runs/{run_id}/answer", json=document)

    def public(self, path: str, limit: int) -> bytes:
        """Get what is served to anybody, of at most so many bytes."""
        data = self._call("GET", f"/{path}")
        if len(data) > limit:
            raise RemoteError(f"the operator answers GET /{path} with over {limit} bytes")
        return data

    def terms(self, name: str) -> Any:
        """Get a published document."""
        return self._json("GET", f"/v1/terms/{name}")

    def universe(self, hash_: str) -> Any:
        """Get a universe by its hash: the first one, or a revision of it."""
        return self._json("GET", f"/v1/universes/{hash_}")

    def admitted(self, identity: str) -> bool:
        """Ask whether the operator has admitted the institution under an identity key; anybody may ask."""
        return self._message(Admitted, "GET", f"{self._path}/admission", params={"identity": identity}).admitted

    @contextmanager
    def events(self, after: int) -> Iterator[OpenStream]:
        """Open the account's event stream after an entry.

        Raises:
            RemoteError: the operator refuses or does not answer, or the stream breaks.
        """
        path, headers = f"{self._path}/events", {"Last-Event-ID": str(after), "Accept": "text/event-stream"}
        try:
            with self._http.stream("GET", path, headers=headers, auth=self._auth, timeout=SILENCE_SECONDS) as response:
                if response.is_success:
                    yield OpenStream(response.iter_lines(), partial(_end, response))
                    return
                data = next(response.iter_bytes(MAX_PROBLEM_BYTES), b"")
        except httpx.HTTPError as error:
            raise RemoteError(f"the operator's event stream broke: {error}") from error
        raise _remote_error("GET", path, response.status_code, data, response.headers.get("retry-after", ""))

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    def _message(self, kind: type[D], method: str, path: str, **arguments: Any) -> D:
        """Return what the operator answers, as the message that the protocol has there.

        Raises:
            MalformedResponse: it is something else; the field is named.
        """
        try:
            return kind.parse(self._json(method, path, **arguments))
        except DocumentError as error:
            raise MalformedResponse(
                f"the operator answers {method} {path} with no {kind.__name__}: {error}; one of the two sides may need "
                "an update",
                error.field,
            ) from error

    def _json(self, method: str, path: str, **arguments: Any) -> JsonObject:
        value = parse_json(self._call(method, path, **arguments), path)
        if not isinstance(value, dict):
            raise MalformedResponse(f"the operator answers {method} {path} with something else than a JSON object", "$")
        return value

    def _call(self, method: str, path: str, **arguments: Any) -> bytes:
        headers: dict[str, str] = arguments.pop("headers", {})
        if method == "POST":
            document = arguments.pop("json", None)
            headers["Idempotency-Key"] = _key(path, document)
            if document is not None:
                # The same bytes every time, whatever the order of its fields where it was kept.
                headers["Content-Type"] = "application/json"
                arguments["content"] = canonical_bytes(document)
        try:
            with self._http.stream(method, path, auth=self._auth, headers=headers, **arguments) as response:
                data = b""
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MAX_RESPONSE_BYTES:
                        raise RemoteError(f"the operator answers {method} {path} with over {MAX_RESPONSE_BYTES} bytes")
        except httpx.HTTPError as error:
            raise RemoteError(f"the operator does not answer {method} {path}: {error}; is it running?") from error
        if response.is_success:
            return data
        raise _remote_error(method, path, response.status_code, data, response.headers.get("retry-after", ""))


def _key(path: str, document: JsonObject | None) -> str:
    """Return the key of a request: of a document always the same, also by an agent that was started anew."""
    if document is None:
        return secrets.token_hex(16)
    return hashlib.sha256(path.encode() + b"\0" + canonical_bytes(document)).hexdigest()


def _remote_error(method: str, path: str, status: int, data: bytes, retry_after: str = "") -> RemoteError:
    try:
        problem = json.loads(data)
    except ValueError:
        problem = {}
    detail = problem.get("detail") if isinstance(problem, dict) else None
    message = f"the operator refuses {method} {path} ({status}): {detail or 'no reason given'}"
    error = RemoteError(message, status, problem if isinstance(problem, dict) else {})
    # Dates, which it may be as well, are not read: the other clock may be anywhere.
    error.retry_after = float(retry_after) if retry_after.isdigit() and len(retry_after) < 6 else 0.0
    return error


def _end(response: httpx.Response) -> None:
    """Wake whoever reads a response: its connection is over."""
    stream = response.extensions.get("network_stream")
    found = None if stream is None else stream.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            # It may be over already.
            found.shutdown(socket.SHUT_RDWR)
