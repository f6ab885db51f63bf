"""The resolver of names: who may say what, what anyone reads, and which answers of a gateway it takes."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_abi import decode, encode
from eth_account import Account
from eth_utils import keccak
from web3 import Web3
from web3.exceptions import OffchainLookup
from web3.logs import DISCARD

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.attestations import typed_data
from atomic_margin.service.pointer.gateway import POINTER
from atomic_margin.service.pointer.lookups import CONTENTHASH, EXTENDED, LOOKUP, TEXT, Lookup, parse_lookup
from atomic_margin.service.pointer.names import parse_name
from atomic_margin.service.pointer.records import BUNDLE, CHECKPOINT, LOG, MAX_BYTES, TILES
from atomic_margin.service.pointer.records import CONTENTHASH as HASH

from .names import NAME, SIGNER, Names, new_names, revert_data

NOBODY = "0x" + "00" * 20
PUBLISHED = ("a checkpoint\n", "https://example.org/bundle.json", "https://example.org", b"\xe3\x01\x01")


@pytest.fixture(scope="module")
def standing() -> Names:
    names = new_names(local_chain.tester())
    names.do("setLog", names.node, "log.example+00000000+key", by=names.owner)
    names.do("publish", names.node, *PUBLISHED, by=names.publisher)
    return names


@pytest.fixture
def names(standing: Names) -> Iterator[Names]:
    """What a test does is undone."""
    machine: Any = standing.w3.provider
    before = machine.ethereum_tester.take_snapshot()
    yield standing
    machine.ethereum_tester.revert_to_snapshot(before)


@pytest.fixture
def gated(names: Names) -> Names:
    """The same with a gateway."""
    names.do("setGateway", names.node, ["https://gateway.example/{sender}/{data}"], SIGNER.address, by=names.owner)
    return names


def texts(names: Names, node: bytes | None = None) -> list[str]:
    return [names.resolver.functions.text(node or names.node, key).call() for key in (LOG, CHECKPOINT, BUNDLE, TILES)]


def test_a_name_says_what_owner_and_publisher_said(names: Names) -> None:
    assert texts(names) == ["log.example+00000000+key", *PUBLISHED[:3]]
    assert names.resolver.functions.contenthash(names.node).call() == PUBLISHED[3]
    assert names.resolver.functions.publisher(names.node).call() == names.publisher
    for other in ("url", "atomic-margin", "contenthash", ""):
        assert names.resolver.functions.text(names.node, other).call() == ""
    assert texts(names, parse_name("other.example").node) == ["", "", "", ""]
    receipt = names.do("publishCheckpoint", names.node, "a newer one\n", by=names.publisher)
    (event,) = names.resolver.events.TextChanged().process_receipt(receipt, errors=DISCARD)
    assert (event["args"]["node"], event["args"]["key"]) == (names.node, CHECKPOINT)
    assert event["args"]["value"] == texts(names)[1] == "a newer one\n"
    assert texts(names)[2:] == list(PUBLISHED[1:3])


def test_the_interfaces_are_those_of_the_standards(names: Names) -> None:
    signatures = {"supportsInterface(bytes4)": 1, "text(bytes32,string)": 1, "contenthash(bytes32)": 1}
    signatures |= {"resolve(bytes,bytes)": 1, "addr(bytes32)": 0}
    for signature, supported in signatures.items():
        identifier = keccak(text=signature)[:4]
        assert names.resolver.functions.supportsInterface(identifier).call() is bool(supported), signature
    assert names.resolver.functions.supportsInterface(b"\xff" * 4).call() is False
    selectors = [
        keccak(text=one)[:4] for one in ("text(bytes32,string)", "contenthash(bytes32)", "resolve(bytes,bytes)")
    ]
    assert selectors == [TEXT, CONTENTHASH, EXTENDED]
    assert keccak(text="OffchainLookup(address,string[],bytes,bytes4,bytes)")[:4] == LOOKUP
    assert keccak(text="pointer(bytes32,string)")[:4] == POINTER
    constants = {LOG: "LOG", CHECKPOINT: "CHECKPOINT", BUNDLE: "BUNDLE", TILES: "TILES", HASH: "CONTENTHASH"}
    for key, name in constants.items():
        assert names.resolver.functions[name]().call() == key
        limit = {BUNDLE: "ADDRESS", TILES: "ADDRESS"}.get(key, name)
        assert names.resolver.functions[f"MAX_{limit}"]().call() == MAX_BYTES[key]


OWNERS = [("setLog", ("a log",)), ("setPublisher", (NOBODY,)), ("setGateway", ([], NOBODY))]
PUBLISHERS = [("publish", PUBLISHED), ("publishCheckpoint", ("x",))]


@pytest.mark.parametrize(("function", "arguments"), OWNERS)
def test_what_is_the_owner_s_to_say(names: Names, function: str, arguments: Any) -> None:
    for who in (names.stranger, names.publisher):
        assert names.refused(function, names.node, *arguments, by=who) == "NotOwner"
    # Nobody owns it, so nobody is asked.
    assert names.refused(function, parse_name("other.example").node, *arguments, by=names.owner) == "NotOwner"
    names.do(function, names.node, *arguments, by=names.owner)
    names.registry.functions.setApprovalForAll(names.stranger, True).transact({"from": names.owner})
    names.do(function, names.node, *arguments, by=names.stranger)


@pytest.mark.parametrize(("function", "arguments"), PUBLISHERS)
def test_what_is_the_publisher_s_to_say(names: Names, function: str, arguments: Any) -> None:
    assert names.refused(function, names.node, *arguments, by=names.stranger) == "NotPublisher"
    assert names.refused(function, parse_name("other.example").node, *arguments, by=names.owner) == "NotPublisher"
    names.do(function, names.node, *arguments, by=names.owner)
    names.do("setPublisher", names.node, NOBODY, by=names.owner)
    assert names.refused(function, names.node, *arguments, by=names.publisher) == "NotPublisher"


def test_a_name_that_changes_hands_starts_with_nothing(gated: Names) -> None:
    gated.registry.functions.setOwner(gated.node, gated.stranger).transact({"from": gated.owner})
    assert texts(gated) == ["", "", "", ""]
    assert gated.resolver.functions.contenthash(gated.node).call() == b""
    assert gated.resolver.functions.gateway(gated.node).call() == [[], NOBODY]
    assert gated.refused("publishCheckpoint", gated.node, "x", by=gated.publisher) == "NotPublisher"
    assert gated.refused("setLog", gated.node, "x", by=gated.owner) == "NotOwner"


def test_another_log_removes_what_was_published_of_the_one_before(names: Names) -> None:
    names.do("setLog", names.node, "another", by=names.owner)
    assert texts(names) == ["another", "", "", ""]
    assert names.resolver.functions.contenthash(names.node).call() == b""


def test_everything_has_a_limit(names: Names) -> None:
    long = {key: "x" * (most + 1) for key, most in MAX_BYTES.items()}
    assert names.refused("setLog", names.node, long[LOG], by=names.owner) == "TooLong"
    assert names.refused("publishCheckpoint", names.node, long[CHECKPOINT], by=names.owner) == "TooLong"
    for place, value in enumerate((long[CHECKPOINT], long[BUNDLE], long[TILES], long[HASH].encode())):
        arguments = [*PUBLISHED[:place], value, *PUBLISHED[place + 1 :]]
        assert names.refused("publish", names.node, *arguments, by=names.publisher) == "TooLong"
    urls = ["https://gateway.example"]
    assert names.refused("setGateway", names.node, urls * 5, SIGNER.address, by=names.owner) == "TooManyGateways"
    assert names.refused("setGateway", names.node, ["x" * 1025], SIGNER.address, by=names.owner) == "TooLong"
    assert names.refused("setGateway", names.node, urls, NOBODY, by=names.owner) == "HalfAGateway"
    assert names.refused("setGateway", names.node, [], SIGNER.address, by=names.owner) == "HalfAGateway"
    names.do("publishCheckpoint", names.node, "x" * MAX_BYTES[CHECKPOINT], by=names.publisher)


LONG = (b"\x3f" + b"x" * 63) * 4 + b"\x00"


def call_of_text(node: bytes, key: str) -> bytes:
    return TEXT + encode(["bytes32", "string"], [node, key])


def test_resolve_says_the_same(names: Names) -> None:
    name = parse_name(NAME)
    returned = names.resolver.functions.resolve(name.encoded, call_of_text(name.node, BUNDLE)).call()
    assert decode(["string"], returned) == (PUBLISHED[1],)
    returned = names.resolver.functions.resolve(name.encoded, CONTENTHASH + name.node).call()
    assert decode(["bytes"], returned) == (PUBLISHED[3],)


def test_resolve_is_about_the_name_that_is_given(names: Names) -> None:
    name, other = parse_name(NAME), parse_name("other.example")
    for data in (call_of_text(name.node, BUNDLE), CONTENTHASH + name.node):
        assert names.refused("resolve", other.encoded, data) == "OtherNode"
        # One label with a dot in it is another name.
        assert names.refused("resolve", b"\x0cfund.example\x00", data) == "OtherNode"
        for broken in (b"", name.encoded[:-1], name.encoded + b"\x00", b"\xff" + name.encoded, LONG):
            assert names.refused("resolve", broken, data) == "NameMalformed"
    for data in (b"", b"\x00\x01", keccak(text="addr(bytes32)")[:4] + name.node):
        assert names.refused("resolve", name.encoded, data) == "UnsupportedCall"


def asked(names: Names, function: str, *arguments: Any) -> Lookup:
    """What a call has a client ask."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - two libraries have two names for it
        names.resolver.functions[function](*arguments).call()
    assert isinstance(caught.value, OffchainLookup) or "TransactionFailed" in type(caught.value).__name__
    lookup = parse_lookup(revert_data(caught.value))
    assert lookup is not None
    return lookup


def answer(names: Names, key: str, value: bytes, /, **changed: Any) -> bytes:
    """A gateway's answer that holds for five minutes, or one with something changed."""
    expiry = changed.get("expiry", names.w3.eth.get_block("latest")["timestamp"] + 300)
    document = typed_data(
        "PointerAnswer",
        {"node": changed.get("node", names.node), "key": changed.get("key", key), "value": value, "expiry": expiry},
        chain=changed.get("chain", names.w3.eth.chain_id),
        contract=changed.get("contract", names.resolver.address),
    )
    signed = changed.get("signer", SIGNER).sign_typed_data(full_message=document)
    r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    sent = [
        changed.get("sent", value),
        changed.get("sent_expiry", expiry + changed.get("later", 0)),
        r,
        s,
        changed.get("v", signed.v),
    ]
    return encode(["bytes", "uint64", "bytes32", "bytes32", "uint8"], sent)


@pytest.mark.parametrize("key", [CHECKPOINT, BUNDLE, TILES, HASH])
def test_what_a_gateway_answers_is_what_the_name_says(gated: Names, key: str) -> None:
    name, value = parse_name(NAME), b"fresh \xc3\xa9"
    direct = ("contenthash", gated.node) if key == HASH else ("text", gated.node, key)
    inner = CONTENTHASH + gated.node if key == HASH else call_of_text(gated.node, key)
    for call, callback in ((direct, "answered"), (("resolve", name.encoded, inner), "resolveAnswered")):
        lookup = asked(gated, *call)
        assert lookup.sender == gated.resolver.address.lower()
        assert lookup.urls == ("https://gateway.example/{sender}/{data}",)
        assert lookup.call == POINTER + encode(["bytes32", "string"], [gated.node, key])
        assert lookup.callback == keccak(text=f"{callback}(bytes,bytes)")[:4]
        returned = gated.resolver.functions[callback](answer(gated, key, value), lookup.extra).call()
        assert (returned if callback == "answered" else decode(["bytes"], returned)[0]) == value
    # What everything else is checked by does not come from a gateway.
    assert gated.resolver.functions.text(gated.node, LOG).call() == "log.example+00000000+key"


OTHER = Account.from_key("0x" + "52" * 32)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"signer": OTHER}, "AnswerNotSigned"),
        ({"sent": b"another value"}, "AnswerNotSigned"),
        ({"sent_expiry": 2**40}, "AnswerValidTooLong"),
        ({"later": 60}, "AnswerNotSigned"),
        ({"node": b"\x01" * 32}, "AnswerNotSigned"),
        ({"key": BUNDLE}, "AnswerNotSigned"),
        ({"chain": 1}, "AnswerNotSigned"),
        ({"contract": "0x" + "11" * 20}, "AnswerNotSigned"),
        ({"expiry": 1}, "AnswerExpired"),
        ({"v": 0}, "AnswerNotSigned"),
    ],
)
def test_no_other_answer_counts(gated: Names, changed: dict[str, Any], error: str) -> None:
    lookup = asked(gated, "text", gated.node, CHECKPOINT)
    wrong = answer(gated, CHECKPOINT, b"value", **changed)
    assert gated.refused("answered", wrong, lookup.extra) == error
    assert gated.refused("resolveAnswered", wrong, lookup.extra) == error
    gated.resolver.functions.answered(answer(gated, CHECKPOINT, b"value"), lookup.extra).call()


def test_an_answer_is_valid_for_a_day_at_most_and_to_its_last_second(gated: Names) -> None:
    lookup, now = asked(gated, "text", gated.node, CHECKPOINT), gated.w3.eth.get_block("latest")["timestamp"]
    for expiry, error in ((now - 10, "AnswerExpired"), (now + 86_400 + 60, "AnswerValidTooLong")):
        assert gated.refused("answered", answer(gated, CHECKPOINT, b"", expiry=expiry), lookup.extra) == error
    gated.resolver.functions.answered(answer(gated, CHECKPOINT, b"", expiry=now + 86_000), lookup.extra).call()
    long = answer(gated, CHECKPOINT, b"x" * (MAX_BYTES[CHECKPOINT] + 1))
    assert gated.refused("answered", long, lookup.extra) == "TooLong"


def test_an_answer_for_a_name_without_a_gateway_is_none(gated: Names) -> None:
    lookup, signed = asked(gated, "text", gated.node, CHECKPOINT), answer(gated, CHECKPOINT, b"value")
    gated.do("setGateway", gated.node, [], NOBODY, by=gated.owner)
    assert gated.refused("answered", signed, lookup.extra) == "NoGateway"
    assert texts(gated)[1] == PUBLISHED[0]
    # One of the owner before.
    gated.do("setGateway", gated.node, ["https://g.example"], OTHER.address, by=gated.owner)
    assert gated.refused("answered", signed, lookup.extra) == "AnswerNotSigned"


def test_the_registry_of_the_tests_lets_owners_alone_change_a_name(names: Names) -> None:
    assert Web3.to_checksum_address(names.registry.functions.owner(names.node).call()) == names.owner
    for call in (
        names.registry.functions.setOwner(names.node, names.stranger),
        names.registry.functions.setResolver(names.node, names.stranger),
        names.registry.functions.setSubnodeOwner(names.node, b"\x01" * 32, names.stranger),
    ):
        with pytest.raises(Exception, match="revert"):
            call.call({"from": names.stranger})
