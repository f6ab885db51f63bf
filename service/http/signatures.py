"""Signed HTTP requests (RFC 9421, Ed25519): who calls signs by `RequestSigner`, who is called checks by `check`.

A signature covers method, authority, path and query, the operator it is for, and of what is there the digest of the
body (RFC 9530), its type and the idempotency key; it names the key that made it, and holds a minute at most. It covers
no scheme, so that a proxy may end TLS. Nothing here says who a key is of, nor that a request came only once; that is
for `replays` and the operator's face.
"""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Generator, Iterable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from atomic_margin.service.errors import BodyDiffers, RequestSignatureInvalid

TAG = "atomic-margin"
LIFETIME_SECONDS = 60
OPERATOR_HEADER = "Atomic-Margin-Operator"
EPOCH_HEADER = "Atomic-Margin-Epoch"

ALWAYS = ("@method", "@authority", "@path", "@query", OPERATOR_HEADER.lower())
"""What every signature covers."""
WHERE_PRESENT = ("content-digest", "content-type", "idempotency-key", "content-range", "upload-offset")
"""Fields that a signature covers where a request has them: what changes its meaning."""

FAR_SECONDS = 15.0
"""How far the time of a refusal is from the signer's, at least, for it to be the cause: half of what may be apart."""

_MAX_SIGNATURE_CHARACTERS = 4096
_EPOCH = re.compile(r"[0-9a-f]{16}")
_NONCE = re.compile(r"(?P<epoch>[0-9a-f]{16})\.[A-Za-z0-9_-]{16,43}")
_DIGEST = re.compile(r"sha-256=:(?P<digest>[A-Za-z0-9+/]{43}=):")
_KEY = re.compile(r"[0-9a-f]{64}")
_NO_EPOCH = "0" * 16
_LABEL = "am"


class Signed(NamedTuple):
    """What a request's signature says, once it holds.

    Attributes:
        key: public key that made it, in hex.
        created: when, in seconds of the signer's clock.
        expires: until when it is meant to be taken.
        epoch: the operator's epoch that it is for, see `replays`.
        nonce: what tells it from every other signature of the key; the epoch is its beginning.
        digest: SHA-256 of the body.
    """

    key: str
    created: int
    expires: int
    epoch: str
    nonce: str
    digest: bytes


class RequestSigner(httpx.Auth):
    """Signs every request of an httpx client.

    It learns the operator's epoch from any answer, and signs once more when a request was refused under another one.
    So it does with the operator's time, which is in every answer: a signature is for the operator alone, whose clock it
    has to please, and nobody has to set a clock right before requests go through again.
    """

    requires_request_body = True

    def __init__(
        self, key: str, sign: Callable[[bytes], bytes], operator: str, clock: Callable[[], float] = time.time
    ) -> None:
        """Sign by a key.

        Args:
            key: public key, in hex.
            sign: `Identity.sign_request` of the key pair.
            operator: public key of the operator that requests are for; no other takes them.
            clock: seconds since 1970.
        """
        self.key, self._sign, self._operator, self._clock = key, sign, operator, clock
        self._epoch = _NO_EPOCH
        self._behind = 0.0
        self._signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign a request, once more under a new epoch, and once more by another time."""
        learns = [self._learn_epoch, self._learn_time]
        while True:
            self.sign(request)
            response = yield request
            # 429: under the old epoch the request counted as its address's, whose rate others may have used up.
            refused = response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.TOO_MANY_REQUESTS)
            # Each is tried once: an operator that says something else every time is not followed for ever.
            learnt = [learn for learn in learns if learn(response)]
            if not learnt or not refused:
                return
            learns = [learn for learn in learns if learn not in learnt]

    def _learn_epoch(self, response: httpx.Response) -> bool:
        """Take over the epoch that an answer tells; return whether it is another."""
        told = response.headers.get(EPOCH_HEADER, self._epoch)
        if told == self._epoch or not _EPOCH.fullmatch(told):
            return False
        self._epoch = told
        return True

    def _learn_time(self, response: httpx.Response) -> bool:
        """Take over the time of a refusal, if it is far from the one that was signed; return whether it is.

        Only what an operator refuses is learnt from, so that a clock that is a little off stays as it is.
        """
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return False
        told = _time_of(response)
        if told is None or abs(told - (self._clock() + self._behind)) <= FAR_SECONDS:
            return False
        self._behind = told - self._clock()
        return True

    def sign(self, request: httpx.Request) -> None:
        """Sign a request whose body is there."""
        request.headers[OPERATOR_HEADER] = self._operator
        request.headers.pop("Content-Digest", None)
        if request.content:
            request.headers["Content-Digest"] = digest_field(hashlib.sha256(request.content).digest())
        now = int(self._clock() + self._behind)
        prepared = self._signer.prepare(
            request,
            key_id=self.key,
            created=_instant(now),
            expires=_instant(now + LIFETIME_SECONDS),
            nonce=f"{self._epoch}.{secrets.token_urlsafe(16)}",
            label=_LABEL,
            tag=TAG,
            use_existing_digest=bool(request.content),
            covered_component_ids=(*ALWAYS, *(name for name in WHERE_PRESENT if name in request.headers)),
        )
        self._signer.apply(request, prepared, self._sign(prepared.signature_base))


class Received:
    """A request as it arrived, before its body: what a signature is checked against."""

    def __init__(self, method: str, url: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """`url` is absolute, with path and query as they were sent; `headers` are the lines of the request."""
        self.method, self.url, self.headers = method, url, httpx.Headers(list(headers))

    @property
    def is_signed(self) -> bool:
        """Whether there is a signature, right or wrong."""
        return "signature" in self.headers or "signature-input" in self.headers


def check(request: Received, operator: str) -> Signed:
    """Check a request's signature under the key that it names.

    Raises:
        RequestSignatureInvalid: it is malformed or wrong, covers too little, or is for another operator.
    """
    for field in ("signature", "signature-input"):
        if len(request.headers.get(field, "")) > _MAX_SIGNATURE_CHARACTERS:
            raise RequestSignatureInvalid(f"the field is longer than {_MAX_SIGNATURE_CHARACTERS} characters", field)
    present = tuple(name for name in WHERE_PRESENT if name in request.headers)
    try:
        results = _verifier.verify(request, expect_tag=TAG, max_age=None, require_components=(*ALWAYS, *present))
    # The library lets errors of its parsers through as they are.
    except (HTTPMessageSignaturesException, ValueError, TypeError, KeyError) as error:
        reason = str(error) or "the signature does not match the request"
        raise RequestSignatureInvalid(f"{reason}; sign the request as it is sent", "signature") from None
    if len(results) != 1:
        raise RequestSignatureInvalid(f"one signature with the tag {TAG!r} is taken, not {len(results)}", "signature")
    if request.headers[OPERATOR_HEADER] != operator:
        raise RequestSignatureInvalid(f"the request is for another operator; this is {operator}", OPERATOR_HEADER)
    return _signed(results[0].parameters, request)


def digest_field(digest: bytes) -> str:
    """Return the value of Content-Digest for the SHA-256 of a body."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def check_digest(signed: Signed, digest: bytes) -> None:
    """Compare the digest that was signed with that of the bytes which were read.

    Raises:
        BodyDiffers: they are others.
    """
    if signed.digest != digest:
        raise BodyDiffers("the body is not the one that was signed; send it as it was, with its Content-Digest", "body")


def _signed(parameters: dict[str, Any], request: Received) -> Signed:
    created, expires = parameters.get("created"), parameters.get("expires")
    if created is None or expires is None or not 0 < expires - created <= LIFETIME_SECONDS:
        raise RequestSignatureInvalid(
            f"a signature says when it was created and when it expires, {LIFETIME_SECONDS} s later at most", "expires"
        )
    nonce = _NONCE.fullmatch(parameters.get("nonce", ""))
    if nonce is None:
        raise RequestSignatureInvalid(
            f"the nonce is the epoch of {EPOCH_HEADER}, a dot, and 16 random characters or more", "nonce"
        )
    return Signed(parameters["keyid"], created, expires, nonce["epoch"], nonce[0], _digest(request))


def _digest(request: Received) -> bytes:
    """Return the digest that was signed; without one, that of no body at all."""
    field = request.headers.get("content-digest")
    if field is None:
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            raise BodyDiffers("the request has a body and no Content-Digest (RFC 9530) that was signed", "body")
        return hashlib.sha256(b"").digest()
    said = _DIGEST.fullmatch(field)
    if said is None:
        raise RequestSignatureInvalid("Content-Digest is one sha-256 here", "content-digest")
    return base64.b64decode(said["digest"])


class _NamedKeys(HTTPSignatureKeyResolver):
    """A key id is the public key itself."""

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        if not _KEY.fullmatch(key_id):
            raise HTTPMessageSignaturesException("keyid is an Ed25519 public key: 64 hex digits")
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key_id))


class _Verifier(HTTPMessageVerifier):
    """Leaves the time to `replays`, which has a clock that it knows the jumps of."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        pass


_verifier = _Verifier(signature_algorithm=algorithms.ED25519, key_resolver=_NamedKeys())


def _time_of(response: httpx.Response) -> float | None:
    """Return when an answer was made, by the clock of whoever made it."""
    try:
        return parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)
