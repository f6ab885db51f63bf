"""Signed requests: what a signature covers, how long it holds, and that each is taken once."""

import hashlib
import time
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from http_message_signatures import HTTPMessageSigner, algorithms

from atomic_margin.service.errors import (
    BodyDiffers,
    EpochPast,
    NotAuthorised,
    RequestExpired,
    RequestReplayed,
    RequestSignatureInvalid,
    TooManyRequests,
)
from atomic_margin.service.http.replays import SKEW_SECONDS, STEP_SECONDS, Replays
from atomic_margin.service.http.signatures import (
    ALWAYS,
    EPOCH_HEADER,
    LIFETIME_SECONDS,
    TAG,
    Received,
    RequestSigner,
    Signed,
    check,
    check_digest,
)
from atomic_margin.service.protocol.signing import Identity

OPERATOR = "5a" * 32
BODY = b'{"asset": "USDC"}'
URL = "http://operator.example:8400/v1/things%20here?after=7&x=%20y"


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.generate()


def signed_request(identity: Identity, now: float = 1000, operator: str = OPERATOR, **changes: Any) -> httpx.Request:
    arguments = {
        "method": "POST",
        "url": URL,
        "content": BODY,
        "headers": {"content-type": "application/json"},
    } | changes
    request = httpx.Request(**arguments)
    RequestSigner(identity.public_key, identity.sign_request, operator, lambda: now).sign(request)
    return request


def received(request: httpx.Request, **changes: Any) -> Received:
    """The request as it arrives, with something else in it."""
    headers = httpx.Headers(request.headers)
    for name, value in changes.pop("headers", {}).items():
        headers[name] = value
    for name in changes.pop("without", ()):
        del headers[name]
    return Received(changes.get("method", request.method), changes.get("url", str(request.url)), headers.raw)


def test_a_signature_holds_for_the_request_that_was_signed(identity: Identity) -> None:
    request = signed_request(identity, headers={"idempotency-key": "k", "content-type": "application/json"})
    signed = check(received(request), OPERATOR)
    assert (signed.key, signed.created, signed.expires) == (identity.public_key, 1000, 1000 + LIFETIME_SECONDS)
    check_digest(signed, hashlib.sha256(BODY).digest())
    with pytest.raises(BodyDiffers):
        check_digest(signed, hashlib.sha256(BODY + b" ").digest())
    # TLS may end before the operator: the scheme is not covered.
    assert check(received(request, url=URL.replace("http:", "https:")), OPERATOR) == signed
    bare = signed_request(identity, method="GET", content=None, headers=None)
    check_digest(check(received(bare), OPERATOR), hashlib.sha256(b"").digest())


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"url": URL.replace("things", "others")},
        {"url": URL.replace("after=7", "after=8")},
        {"url": URL.partition("?")[0]},
        {"url": URL.replace("operator.example", "other.example")},
        {"url": URL.replace(":8400", ":8401")},
        {"headers": {"content-digest": "sha-256=:" + "A" * 43 + "=:"}},
        {"headers": {"content-type": "text/plain"}},
        {"headers": {"idempotency-key": "another"}},
        {"headers": {"upload-offset": "1"}},
        {"headers": {"atomic-margin-operator": "6b" * 32}},
        {"headers": {"signature": "am=:" + "A" * 86 + "==:"}},
        {"without": ["idempotency-key"]},
        {"without": ["content-digest"]},
        {"without": ["atomic-margin-operator"]},
        {"without": ["signature"]},
        {"without": ["signature-input"]},
    ],
    ids=str,
)
def test_it_holds_for_no_other(identity: Identity, changes: dict[str, Any]) -> None:
    request = signed_request(identity, headers={"idempotency-key": "k", "content-type": "application/json"})
    check(received(request), OPERATOR)
    with pytest.raises(NotAuthorised):
        check(received(request, **changes), OPERATOR)


def test_a_request_to_one_operator_is_none_to_another(identity: Identity) -> None:
    """Else an operator could hand on what its institution sent it."""
    with pytest.raises(RequestSignatureInvalid, match="for another operator"):
        check(received(signed_request(identity, operator="6b" * 32)), OPERATOR)


def test_another_key_cannot_sign_in_a_name(identity: Identity) -> None:
    other = Identity.generate()
    request = httpx.Request("GET", URL)
    RequestSigner(identity.public_key, other.sign_request, OPERATOR).sign(request)
    with pytest.raises(RequestSignatureInvalid):
        check(received(request), OPERATOR)


def test_a_body_needs_a_digest_that_is_covered(identity: Identity) -> None:
    request = signed_request(identity, method="POST", content=None, headers=None)
    for headers in ({"content-length": "5"}, {"transfer-encoding": "chunked"}):
        with pytest.raises(BodyDiffers, match="no Content-Digest"):
            check(received(request, headers=headers), OPERATOR)
    with pytest.raises(RequestSignatureInvalid, match="content-digest"):
        check(received(request, headers={"content-digest": "sha-256=:" + "A" * 43 + "=:"}), OPERATOR)


@pytest.mark.parametrize(
    "bad",
    [
        "", "\x01", "am=()", 'am=("@method");created=1;keyid="fund";tag="atomic-margin"', "am=" + "(" * 200,
        'am=("@method" "@method");tag="atomic-margin"', "am=1", 'am=("@method";sf);tag="atomic-margin"', "x" * 5000,
        'am=();tag="atomic-margin";created="x"', 'am=();tag=1', "é", 'am=("@status");tag="atomic-margin";keyid=""',
    ],
)  # fmt: skip
def test_garbage_is_refused_by_name(identity: Identity, bad: str) -> None:
    request = signed_request(identity)
    for field in ("signature", "signature-input"):
        lines = [(name, value) for name, value in request.headers.raw if name.lower() != field.encode()]
        with pytest.raises(RequestSignatureInvalid):
            check(Received("POST", URL, [*lines, (field.encode(), bad.encode("latin-1"))]), OPERATOR)


def stated(identity: Identity, **changes: Any) -> httpx.Request:
    """A request whose signature matches it, and says or covers something else than ours do."""
    request = httpx.Request("GET", URL, headers={"Atomic-Margin-Operator": OPERATOR})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519)
    said: dict[str, Any] = {
        "key_id": identity.public_key,
        "created": datetime.fromtimestamp(1000, tz=timezone.utc),
        "expires": datetime.fromtimestamp(1060, tz=timezone.utc),
        "nonce": "1" * 16 + "." + "n" * 22,
        "label": "am",
        "tag": TAG,
        "covered_component_ids": ALWAYS,
    } | changes
    prepared = signer.prepare(request, **said)
    signer.apply(request, prepared, identity.sign_request(prepared.signature_base))
    return request


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expires": datetime.fromtimestamp(1061, tz=timezone.utc)}, "60 s later at most"),
        ({"expires": datetime.fromtimestamp(1000, tz=timezone.utc)}, "60 s later at most"),
        ({"expires": None}, "60 s later at most"),
        ({"tag": "other"}, "tag"),
        ({"nonce": None}, "the nonce is the epoch"),
        ({"nonce": "n" * 40}, "the nonce is the epoch"),
        ({"nonce": "1" * 16 + "." + "n" * 100}, "the nonce is the epoch"),
        *(({"covered_component_ids": [one for one in ALWAYS if one != left]}, left) for left in ALWAYS[1:]),
        ({"covered_component_ids": ["@method", *ALWAYS[1:3], '"@query-param";name="after"', ALWAYS[4]]}, "@query"),
    ],
    ids=str,
)
def test_what_a_signature_must_say(identity: Identity, changes: dict[str, Any], said: str) -> None:
    check(received(stated(identity)), OPERATOR)
    with pytest.raises(RequestSignatureInvalid, match=said):
        check(received(stated(identity, **changes)), OPERATOR)


def test_one_signature_is_taken(identity: Identity) -> None:
    request = stated(identity)
    both = {
        field: f"{request.headers[field]}, {request.headers[field].replace('am=', 'b=', 1)}"
        for field in ("signature", "signature-input")
    }
    with pytest.raises(RequestSignatureInvalid, match="one signature"):
        check(received(request, headers=both), OPERATOR)


# Replays


class Clocks:
    """A wall clock that can be set, and one that only runs."""

    def __init__(self) -> None:
        self.passed, self.wall = 0.0, 1_000_000.0

    def run(self, seconds: float) -> None:
        self.passed += seconds
        self.wall += seconds

    def replays(self, live: int = 100) -> Replays:
        return Replays(lambda: self.wall, lambda: self.passed, live)

    def signed(self, replays: Replays, nonce: str = "n", key: str = "a", at: float | None = None) -> Signed:
        created = int(self.wall if at is None else at)
        return Signed(key, created, created + LIFETIME_SECONDS, replays.epoch, nonce, b"")


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_a_request_is_taken_once_as_long_as_it_could_be_taken_at_all(clocks: Clocks) -> None:
    replays = clocks.replays()
    signed = clocks.signed(replays)
    replays.take(signed)
    for _ in range(int(LIFETIME_SECONDS + SKEW_SECONDS)):
        with pytest.raises(RequestReplayed):
            replays.take(signed)
        clocks.run(1)
    for _ in range(100):
        clocks.run(0.5)
        with pytest.raises((RequestReplayed, RequestExpired)):
            replays.take(signed)
    with pytest.raises(RequestExpired):
        replays.take(signed)
    # By then nothing is kept of it.
    assert replays._nonces == {}
    assert replays._ends == []


def test_the_window_is_by_the_operator_s_clock(clocks: Clocks) -> None:
    replays = clocks.replays()
    for name, ahead in (("late", -LIFETIME_SECONDS - SKEW_SECONDS), ("early", SKEW_SECONDS)):
        replays.take(clocks.signed(replays, name, at=clocks.wall + ahead))
    for ahead in (-LIFETIME_SECONDS - SKEW_SECONDS - 1, SKEW_SECONDS + 1, 10**12):
        with pytest.raises(RequestExpired):
            replays.take(clocks.signed(replays, "other", at=clocks.wall + ahead))


def test_nothing_that_was_signed_for_another_process_is_taken(clocks: Clocks) -> None:
    """Not even by a caller whose clock is ahead: no file has to say what was taken before a restart."""
    before, after = clocks.replays(), clocks.replays()
    signed = clocks.signed(before, at=clocks.wall + SKEW_SECONDS)
    before.take(signed)
    for seconds in (0, SKEW_SECONDS, LIFETIME_SECONDS):
        clocks.run(seconds)
        with pytest.raises(EpochPast, match=after.epoch):
            after.take(signed)


@pytest.mark.parametrize("back", [STEP_SECONDS + 1, 60, 7200])
def test_a_clock_that_is_set_back_brings_no_request_back_and_stops_nobody(clocks: Clocks, back: int) -> None:
    replays = clocks.replays()
    signed = clocks.signed(replays)
    replays.take(signed)
    clocks.run(LIFETIME_SECONDS + SKEW_SECONDS + STEP_SECONDS + 1)
    assert replays.epoch == signed.epoch
    clocks.wall -= back
    for seconds in (0, 1, back - 1, 1):
        clocks.run(seconds)
        with pytest.raises(EpochPast):
            replays.take(signed)
        replays.take(clocks.signed(replays, f"anew {clocks.passed}"))


def test_small_steps_back_bring_no_request_back(clocks: Clocks) -> None:
    """Steps too small to be noticed one by one."""
    replays = clocks.replays()
    signed = clocks.signed(replays)
    replays.take(signed)
    for _ in range(400):
        clocks.run(1)
        clocks.wall -= 0.4
        with pytest.raises((RequestReplayed, RequestExpired, EpochPast)):
            replays.take(signed)


def test_a_step_back_that_begins_no_epoch_brings_no_request_back(clocks: Clocks) -> None:
    replays = clocks.replays()
    signed = clocks.signed(replays)
    replays.take(signed)
    clocks.wall -= STEP_SECONDS - 1
    clocks.run(LIFETIME_SECONDS + SKEW_SECONDS + 1)
    assert replays.epoch == signed.epoch
    with pytest.raises(RequestReplayed):
        replays.take(signed)


def test_a_clock_that_is_set_forward_and_back_stops_nobody_for_long(clocks: Clocks) -> None:
    replays = clocks.replays()
    first = clocks.signed(replays)
    replays.take(first)
    clocks.wall += 7200
    with pytest.raises(RequestExpired):
        replays.take(first)
    clocks.run(5)
    clocks.wall -= 7200
    with pytest.raises(EpochPast):
        replays.take(first)
    replays.take(clocks.signed(replays))


def test_a_flood_of_one_key_shuts_out_no_other(clocks: Clocks) -> None:
    replays = clocks.replays(live=3)
    for number in range(3):
        replays.take(clocks.signed(replays, str(number)))
    for number in range(3, 10):
        with pytest.raises(TooManyRequests):
            replays.take(clocks.signed(replays, str(number)))
    replays.take(clocks.signed(replays, key="b"))
    clocks.run(LIFETIME_SECONDS + SKEW_SECONDS + STEP_SECONDS + 1)
    replays.take(clocks.signed(replays, "later"))


# The client's side


def answering(respond: Callable[[httpx.Request], httpx.Response], identity: Identity) -> httpx.Client:
    auth = RequestSigner(identity.public_key, identity.sign_request, OPERATOR)
    return httpx.Client(transport=httpx.MockTransport(respond), auth=auth, base_url="http://operator")


@pytest.mark.parametrize("refused", [401, 429])
def test_a_request_of_another_epoch_is_signed_once_more(identity: Identity, refused: int) -> None:
    epochs, asked = ["1" * 16, "2" * 16, "3" * 16], []

    def respond(request: httpx.Request) -> httpx.Response:
        signed = check(received(request), OPERATOR)
        asked.append((signed.epoch, request.content))
        return httpx.Response(200 if signed.epoch == epochs[0] else refused, headers={EPOCH_HEADER: epochs[0]})

    with answering(respond, identity) as client:
        assert client.post("/x", content=BODY).status_code == 200
        assert client.post("/x", content=BODY).status_code == 200
        assert asked == [("0" * 16, BODY), ("1" * 16, BODY), ("1" * 16, BODY)]
        del epochs[0]
        assert client.post("/x", content=BODY).status_code == 200
        assert [epoch for epoch, _ in asked[3:]] == ["1" * 16, "2" * 16]


def test_it_is_not_signed_for_ever(identity: Identity) -> None:
    """Whoever changes its epoch with every answer gets two requests, and none of its own making in a nonce."""
    asked: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["signature-input"])
        told = f"{len(asked):016x}" if len(asked) < 4 else 'x"; keyid="'
        return httpx.Response(401, headers={EPOCH_HEADER: told})

    with answering(respond, identity) as client:
        assert client.get("/x").status_code == 401
        assert len(asked) == 2
        for _ in range(3):
            assert client.get("/x").status_code == 401
    assert all(stated.count("keyid") == 1 for stated in asked)


@pytest.mark.parametrize("ahead", [-10_800, -20, 20, 7200, 93_600])
def test_a_request_that_is_refused_for_its_time_is_signed_by_the_operators(identity: Identity, ahead: int) -> None:
    asked: list[int] = []

    def respond(request: httpx.Request) -> httpx.Response:
        signed, now = check(received(request), OPERATOR), time.time() + ahead
        asked.append(signed.created)
        good = abs(signed.created - now) < 15
        headers = {EPOCH_HEADER: "0" * 16, "Date": formatdate(now, usegmt=True)}
        return httpx.Response(200 if good else 401, headers=headers)

    with answering(respond, identity) as client:
        for _ in range(3):
            assert client.get("/x").status_code == 200
    # The first is refused, and those after it are not.
    assert len(asked) == 4
    assert abs(asked[-1] - time.time() - ahead) < 15


def test_times_are_learnt_of_refusals_alone_and_not_for_ever(identity: Identity) -> None:
    asked: list[int] = []
    dates = [formatdate(time.time() + 1000 * number, usegmt=True) for number in range(1, 4)]
    answers = [(200, dates[0]), (401, dates[1]), (401, dates[2]), (401, "the 30th of Brumaire"), (401, "")]

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(check(received(request), OPERATOR).created)
        status, date = answers[len(asked) - 1]
        return httpx.Response(status, headers={"Date": date})

    with answering(respond, identity) as client:
        assert client.get("/x").status_code == 200
        # Signed by its own time, refused, signed by that of the refusal, refused again.
        assert client.get("/x").status_code == 401
        assert client.get("/x").status_code == 401
        assert client.get("/x").status_code == 401
    assert [round((created - time.time()) / 1000) for created in asked] == [0, 0, 2, 2, 2]


def test_what_is_no_request_is_not_signed_as_one(identity: Identity) -> None:
    for text in (b"", b"@method: GET", b"atomic-margin/v1/signature/answer\n{}"):
        with pytest.raises(ValueError, match="no signature base"):
            identity.sign_request(text)
    with pytest.raises(ValueError, match="begins like"):
        identity.sign_note(b'"@method": GET')
