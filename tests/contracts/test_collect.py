"""Signatures are collected from whoever answers: k that agree are enough, and nobody counts who should not."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from atomic_margin.contracts import collect as collecting
from atomic_margin.contracts.collect import SignerSet, collect
from atomic_margin.contracts.errors import TooFewSignatures
from atomic_margin.contracts.message_json import message_json
from atomic_margin.contracts.signatures import sign_message, signature_text, signer_of

from .vault.world import SIGNERS, key, second_form

ORACLE, VAULT = "0x" + "00" * 19 + "11", "0x" + "00" * 19 + "22"
SET = SignerSet(31337, ORACLE, 7, 3, tuple(one.address for one in SIGNERS))
REQUEST = {"format": "atomic-margin/registration-request/1"}
MESSAGE: dict[str, Any] = {
    "chain": 31337,
    "vault": VAULT,
    "account": "0x" + "00" * 19 + "33",
    "commitments": b"\7" * 32,
    "sequence": 1,
    "signerSet": 7,
    "expiry": 2_000_000_000,
}


def answer(one: LocalAccount, contract: str = ORACLE, chain: int = 31337, **changed: Any) -> dict[str, Any]:
    message = MESSAGE | changed
    signed = sign_message(one, "PortfolioAttestation", message, chain=chain, contract=contract)
    return {
        "message": message_json("PortfolioAttestation", message),
        "signature": signature_text(signed),
        "signer": one.address,
    }


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, data = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def answering(*answers: Any) -> Iterator[list[str]]:
    """Addresses of signers that answer so: with bytes, or with JSON; None for one that is down."""
    servers, down = [], list[ThreadingHTTPServer]()
    urls = []
    for one in answers:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        urls.append(f"http://127.0.0.1:{server.server_address[1]}")
        if one is None:
            down.append(server)
            continue
        status, value = one if isinstance(one, tuple) else (200, one)
        server.answer = (status, value if isinstance(value, bytes) else json.dumps(value).encode())  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
    # Not before all others have theirs: one of them might be given the same port.
    for server in down:
        server.server_close()
    try:
        yield urls
    finally:
        for server, thread in servers:
            server.shutdown()
            thread.join()
            server.server_close()


def recovered(signatures: list[Any]) -> list[str]:
    return [signer_of(one, "PortfolioAttestation", MESSAGE, chain=31337, contract=ORACLE) for one in signatures]


def test_k_that_agree_are_enough_with_one_down_and_one_lying() -> None:
    lie = answer(SIGNERS[1], commitments=b"\6" * 32)
    with answering(answer(SIGNERS[4]), None, lie, answer(SIGNERS[0]), answer(SIGNERS[2])) as urls:
        message, signatures = collect(urls, REQUEST, 3, SET)
    assert {**message, "account": message["account"].lower()} == MESSAGE
    # In the order in which the oracle takes them.
    assert recovered(signatures) == [SIGNERS[0].address, SIGNERS[2].address, SIGNERS[4].address]


def test_as_many_as_are_wanted_are_returned_and_no_more() -> None:
    with answering(*(answer(one) for one in reversed(SIGNERS))) as urls:
        assert recovered(collect(urls, REQUEST, 3, SET).signatures) == [one.address for one in SIGNERS[:3]]
        assert len(collect(urls, REQUEST, 5, SET).signatures) == 5


def test_too_few_say_what_each_answered() -> None:
    problem = {"type": "x", "status": 409, "detail": "the run is not open"}
    lie = answer(SIGNERS[3], expiry=1)
    with (
        answering(answer(SIGNERS[0]), answer(SIGNERS[1]), (409, problem), None, lie) as urls,
        pytest.raises(TooFewSignatures, match="2 of 5 signers signed one PortfolioAttestation, and 3") as few,
    ):
        collect(urls, REQUEST, 3, SET)
    said = list(few.value.answers.values())
    assert said[:3] == ["signed", "signed", "status 409: the run is not open"]
    assert said[3].startswith("it does not answer: Connect")
    assert said[4] == f"{SIGNERS[3].address} signed another message than the others, in expiry"
    assert all(url in str(few.value) for url in urls)


def test_nobody_counts_twice() -> None:
    with (
        answering(answer(SIGNERS[0]), answer(SIGNERS[0]), answer(SIGNERS[1])) as urls,
        pytest.raises(TooFewSignatures, match="signed it already") as few,
    ):
        collect([*urls, urls[2], f"{urls[2]}/"], REQUEST, 3, SET)
    assert len(few.value.answers) == 3


def higher(one: LocalAccount) -> str:
    text = answer(one)["signature"]
    data = bytes.fromhex(text[2:])
    r, s, v = second_form((data[:32], data[32:64], data[64]))
    return "0x" + (r + s + bytes([v])).hex()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (answer(key("nobody")), "is none of set 7"),
        (answer(SIGNERS[2], signerSet=6), "signerSet: it signed for 6, and 7 is wanted"),
        (answer(SIGNERS[2], chain=1), "is none of set 7"),
        (answer(SIGNERS[2], contract=VAULT), "is none of set 7"),
        (answer(SIGNERS[2]) | {"signature": answer(SIGNERS[2], expiry=5)["signature"]}, "is none of set 7"),
        (answer(SIGNERS[2]) | {"signature": higher(SIGNERS[2])}, "the higher of its two values"),
        (answer(SIGNERS[2]) | {"signature": "0x" + "00" * 65}, "v is 27 or 28"),
        (answer(SIGNERS[2]) | {"signature": "0x" + "00" * 64 + "1b"}, "nobody signed"),
        (answer(SIGNERS[2]) | {"signature": "0x12"}, "130 lower-case hex digits"),
        ({"signature": answer(SIGNERS[2])["signature"]}, "message: a JSON object is wanted"),
        (answer(SIGNERS[2]) | {"message": {}}, "chain: this field is missing"),
        ([1], "no JSON object"),
        (b"{", "no JSON"),
        (b"[" * 5000 + b"]" * 5000, "no JSON"),
        (b"x" * (collecting.MAX_ANSWER_BYTES + 1), "more than 65536 bytes"),
        ((500, b"oops"), "status 500 and no JSON"),
        ((302, {"detail": "elsewhere"}), "status 302: elsewhere"),
    ],
)
def test_what_does_not_count_says_why(wrong: Any, said: str) -> None:
    with answering(answer(SIGNERS[0]), answer(SIGNERS[1]), wrong) as urls, pytest.raises(TooFewSignatures) as few:
        collect(urls, REQUEST, 3, SET)
    assert said in few.value.answers[urls[2]]


def test_a_signer_that_never_ends_is_left_out() -> None:
    class Slow(_Handler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            for _ in range(400):
                try:
                    self.wfile.write(b" ")
                    self.wfile.flush()
                except OSError:
                    return
                threading.Event().wait(0.05)

    with answering(*(answer(one) for one in SIGNERS[:3])) as urls:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            slow = f"http://127.0.0.1:{server.server_address[1]}"
            assert len(collect([slow, *urls], REQUEST, 3, SET, timeout=2).signatures) == 3
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.mark.parametrize("k", [0, 1, 2, 6])
def test_a_k_that_is_no_majority_is_nobodys(k: int) -> None:
    with pytest.raises(ValueError, match="are no majority of them"):
        collect(["http://127.0.0.1:9"], REQUEST, k, SET)


def test_what_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="one of the formats"):
        collect(["http://127.0.0.1:9"], {"format": "x"}, 3, SET)
    for urls in ([], ["http://127.0.0.1:9"] * 17):
        with pytest.raises(ValueError, match="1 to 16 signers"):
            collect(urls, REQUEST, 3, SET)
