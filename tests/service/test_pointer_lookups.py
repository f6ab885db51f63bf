"""Resolvers of others: without `resolve`, and hostile ones that ask for answers to others or without an end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest
from eth_abi.abi import encode

from atomic_margin.contracts import local_chain
from atomic_margin.service.pointer.chain import Node
from atomic_margin.service.pointer.errors import (
    AnswerRefused,
    CallReverted,
    DownloadFailed,
    PointerError,
    RecordMissing,
)
from atomic_margin.service.pointer.lookups import EXTENDED, LOOKUP, SUPPORTS, Resolver, find_resolver
from atomic_margin.service.pointer.names import parse_name
from atomic_margin.service.pointer.records import BUNDLE

from ..contracts.names import NAME, Names, new_names, node_over_http

ADDRESS = "0x" + "ab" * 20


@pytest.fixture(scope="module")
def published() -> Iterator[tuple[str, Names]]:
    names = new_names(local_chain.tester())
    names.do("publish", names.node, "", "https://example.org/b", "", b"\x01", by=names.owner)
    with node_over_http(names.w3) as url:
        yield url, names


@dataclass
class Plain:
    """The same chain, on which no resolver says that it has `resolve`."""

    node: Node
    number = 1
    block = 1
    time = datetime.now(timezone.utc)

    def call(self, contract: str, data: bytes) -> bytes:
        assert data[:4] != EXTENDED
        if data[:8] == SUPPORTS + EXTENDED:
            return bytes(32)
        return self.node.call(contract, data)


def nobody(url: str, body: bytes | None) -> bytes:
    raise AssertionError(f"{url} was asked")


def test_a_resolver_without_resolve_is_asked_directly(published: tuple[str, Names]) -> None:
    url, names = published
    for chain in (Node(url), Plain(Node(url))):
        resolver = find_resolver(chain, names.registry.address, parse_name(NAME), nobody)
        assert resolver.extended is isinstance(chain, Node)
        assert resolver.text(BUNDLE) == "https://example.org/b"
        assert resolver.contenthash() == b"\x01"
    with pytest.raises(PointerError, match="is for itself alone"):
        find_resolver(Plain(Node(url)), names.registry.address, parse_name(f"below.{NAME}"), nobody)


class Scripted:
    """A contract that does what a test says, call by call."""

    number, block, time = 1, 1, datetime.now(timezone.utc)

    def __init__(self, answer: Callable[[], bytes]) -> None:
        self.answer, self.calls = answer, 0

    def call(self, contract: str, data: bytes) -> bytes:
        self.calls += 1
        return self.answer()


def asking(sender: str = ADDRESS, urls: tuple[str, ...] = ("https://a/{data}",)) -> Callable[[], bytes]:
    def answer() -> bytes:
        types = ["address", "string[]", "bytes", "bytes4", "bytes"]
        raise CallReverted("reverted", LOOKUP + encode(types, [sender, urls, b"", b"back", b""]))

    return answer


def resolver_that(answer: Callable[[], bytes]) -> Resolver:
    return Resolver(Scripted(answer), ADDRESS, parse_name(NAME), False, lambda url, body: b'{"data": "0x01"}')


def test_an_answer_to_another_contract_is_not_fetched() -> None:
    resolver = resolver_that(asking(sender="0x" + "cd" * 20))
    with pytest.raises(AnswerRefused, match="another contract"):
        resolver.text(BUNDLE)


def test_a_resolver_cannot_ask_for_ever() -> None:
    resolver = resolver_that(asking())
    with pytest.raises(AnswerRefused, match="more than 4 answers"):
        resolver.text(BUNDLE)
    assert isinstance(resolver.chain, Scripted)
    assert resolver.chain.calls == 5


def test_a_resolver_that_names_no_gateway() -> None:
    with pytest.raises(DownloadFailed, match="names no gateway"):
        resolver_that(asking(urls=())).text(BUNDLE)


@pytest.mark.parametrize("returned", [b"", bytes(31), b"\xff" * 64, encode(["bytes"], [b"\xff"])])
def test_what_is_no_text_is_no_record(returned: bytes) -> None:
    with pytest.raises(RecordMissing):
        resolver_that(lambda: returned).text(BUNDLE)


def test_a_resolver_that_refuses() -> None:
    def refuse() -> bytes:
        raise CallReverted("reverted", b"\x01\x02\x03\x04")

    with pytest.raises(CallReverted, match="its resolver refuses: reverted"):
        resolver_that(refuse).text(BUNDLE)
