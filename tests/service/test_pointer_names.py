"""Names: one normal form, and none for what looks like another name; and what a chain answers, within limits."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from eth_abi import encode

from atomic_margin.service.pointer import chain
from atomic_margin.service.pointer.chain import Node
from atomic_margin.service.pointer.errors import CallReverted, ChainUnreachable, NameInvalid, RecordMalformed
from atomic_margin.service.pointer.lookups import LOOKUP, parse_lookup
from atomic_margin.service.pointer.names import parse_name
from atomic_margin.service.pointer.records import RAW_SHA256, parse_contenthash

from ..contracts.names import serving


def test_a_name_has_the_node_of_the_standard() -> None:
    """EIP-137 has these two."""
    assert parse_name("eth").node.hex() == "93cdeb708b7545dc668eb9280176169d1c33cfd8ed6f04690a0bcc88a93fc4ae"
    name = parse_name("foo.eth")
    assert name.node.hex() == "de9b09fd7c5f901e23a3f19fecc54828e9c848539801e86591bd9801b019f84f"
    assert name.encoded == b"\x03foo\x03eth\x00"
    assert name.parents == (name.node, parse_name("eth").node)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Fund.ETH", "fund.eth"),
        ("ｆｕｎｄ.eth", "fund.eth"),
        ("1\ufe0f\u20e32.eth", "1\u20e32.eth"),
        # Left out by the standard: a zero width space, and a soft hyphen.
        ("f\u200bund.eth", "fund.eth"),
        ("f\u00adund.eth", "fund.eth"),
    ],
)
def test_spellings_of_one_name_are_one(written: str, normal: str) -> None:
    assert parse_name(written).text == normal
    assert parse_name(written) == parse_name(normal)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "fund..eth",
        ".fund.eth",
        "fund.eth.",
        " fund.eth",
        "fund.eth\n",
        "fund .eth",
        "f\u200dund.eth",  # zero width joiner
        "f\u202eund.eth",  # right to left
        "f\u0443nd.eth",  # Cyrillic y among Latin letters
        "\u0430\u0440\u0440\u04cf\u0435.eth",  # all Cyrillic, looks like apple
        "fund\u0301\u0301\u0301\u0301\u0301.eth",  # marks on marks
        "fu_nd.eth",
        "fund\u2024eth",  # one dot leader
        "fund\u3002eth",  # ideographic full stop
        "[93cdeb708b7545dc668eb9280176169d1c33cfd8ed6f04690a0bcc88a93fc4ae].eth",
        "fund/../x.eth",
        "\ud800.eth",
        "x" * 64 + ".eth",
        ".".join("a" * 17),
        "x" * 300,
        "xn--fnd-hoa.eth",
    ],
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(NameInvalid) as caught:
        parse_name(name)
    # What it says can be printed anywhere, and shows what was hidden.
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)


def test_a_content_hash_is_one_of_a_file() -> None:
    assert parse_contenthash(b"") is None
    assert parse_contenthash(RAW_SHA256 + b"\x07" * 32) == b"\x07" * 32
    for wrong in (RAW_SHA256, RAW_SHA256 + b"\x07" * 31, RAW_SHA256 + b"\x07" * 33, b"\x00" * 38):
        with pytest.raises(RecordMalformed):
            parse_contenthash(wrong)


def test_a_lookup_is_read_or_is_none() -> None:
    types = ["address", "string[]", "bytes", "bytes4", "bytes"]
    data = LOOKUP + encode(types, ["0x" + "Ab" * 20, ["https://a"], b"call", b"back", b"extra"])
    lookup = parse_lookup(data)
    assert lookup is not None
    assert (lookup.sender, lookup.urls, lookup.extra) == ("0x" + "ab" * 20, ("https://a",), b"extra")
    for wrong in (b"", LOOKUP, data[:-40], b"\x00" + data[1:], LOOKUP + b"\xff" * 320):
        assert parse_lookup(wrong) is None


@contextmanager
def answers(give: Callable[[dict[str, Any]], Any]) -> Iterator[str]:
    """A node that answers what a test says."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = give(asked)
            body = found if isinstance(found, bytes) else json.dumps({"id": asked["id"], **found}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        yield url


def usual(asked: dict[str, Any], call: Any) -> Any:
    if asked["method"] == "eth_chainId":
        return {"result": "0x7a69"}
    if asked["method"] == "eth_getBlockByNumber":
        return {"result": {"number": "0x10", "timestamp": "0x6a000000"}}
    return call


def test_every_call_is_at_one_block() -> None:
    seen: list[Any] = []

    def give(asked: dict[str, Any]) -> Any:
        seen.append(asked)
        return usual(asked, {"result": "0x0102"})

    with answers(give) as url:
        node = Node(url)
        assert (node.number, node.block) == (31337, 16)
        assert node.call("0x" + "11" * 20, b"\x01") == b"\x01\x02"
    assert seen[-1]["params"] == [{"to": "0x" + "11" * 20, "data": "0x01"}, "0x10"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"error": {"code": 3, "message": "execution reverted", "data": "0xabcd"}}, CallReverted),
        ({"error": {"code": -32000, "message": "x", "data": {"data": "0xabcd"}}}, CallReverted),
        ({"error": {"code": 3, "message": "execution reverted"}}, CallReverted),
        ({"error": {"code": -32000, "message": "rate limited"}}, ChainUnreachable),
        ({"error": "no"}, ChainUnreachable),
        ({"result": 7}, ChainUnreachable),
        ({"result": "0x1"}, ChainUnreachable),
        ({"result": None}, ChainUnreachable),
        ({}, ChainUnreachable),
        ({"id": 0, "result": "0x"}, ChainUnreachable),
        (b"[" * 1000, ChainUnreachable),
        (b"[]", ChainUnreachable),
        (b"<html>", ChainUnreachable),
        (b'"' + b"x" * chain.MAX_ANSWER_BYTES + b'"', ChainUnreachable),
    ],
)
def test_what_a_node_may_answer(call: Any, error: type[Exception]) -> None:
    with answers(lambda asked: usual(asked, call)) as url:
        node = Node(url)
        with pytest.raises(error):
            node.call("0x" + "11" * 20, b"")


@pytest.mark.parametrize("block", [None, {}, {"number": 7}, {"number": "0x1", "timestamp": "now"}, "0x1"])
def test_a_node_without_a_block_is_none(block: Any) -> None:
    def give(asked: dict[str, Any]) -> Any:
        return {"result": block} if asked["method"] == "eth_getBlockByNumber" else usual(asked, {})

    with answers(give) as url, pytest.raises(ChainUnreachable):
        Node(url)


def test_a_node_s_key_is_not_shown() -> None:
    with pytest.raises(ChainUnreachable) as caught:
        Node("http://127.0.0.1:9/v3/secret-key")
    assert "secret" not in str(caught.value)
