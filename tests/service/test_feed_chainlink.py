"""The on-chain adapter against a node over real HTTP: five words in, a signed market out, or a named refusal."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from atomic_margin.margin.market.market import Market
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import (
    RoundIncomplete,
    RoundMalformed,
    RoundStale,
    SourceError,
    SourceUnreachable,
)
from atomic_margin.service.feed.chainlink import (
    DECIMALS,
    LATEST_ROUND_DATA,
    Aggregator,
    ChainlinkSource,
    JsonRpc,
    decode_round,
    read_price,
)
from atomic_margin.service.feed.combine import combine
from atomic_margin.service.feed.source import PriceSource
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import NO_TICK, Place, Price

from .documents import example, price_rules
from .tick_server import Ticks, serving

BTC, USDC = "0x" + "b7" * 20, "0x" + "0C" * 20
AT = datetime(2026, 11, 20, 8, 0, 0, tzinfo=timezone.utc)
NOW = int(AT.timestamp())
IDENTITY = Identity.generate()
PLACE = Place(7, "5a" * 32, "6b" * 32, "6b" * 32)


def words(*values: int) -> bytes:
    return b"".join((value % (1 << 256)).to_bytes(32, "big") for value in values)


def a_round(answer: int, updated: int = NOW - 30, number: int = (5 << 64) + 77, answered: int | None = None) -> bytes:
    return words(number, answer, updated - 12, updated, number if answered is None else answered)


class Node(ThreadingHTTPServer):
    """A JSON-RPC node with a chain that moves on with every request, and two aggregators on it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[tuple[str, str], Any] = {
            (BTC, LATEST_ROUND_DATA.hex()): a_round(9_642_050_000_000),
            (BTC, DECIMALS.hex()): words(8),
            (USDC, LATEST_ROUND_DATA.hex()): a_round(999_900_000_000_000_000),
            (USDC, DECIMALS.hex()): words(18),
        }
        self.reply: Callable[[dict[str, Any]], Any] = self.rpc
        self.blocks: list[str] = []
        self.height = 100

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def rpc(self, request: dict[str, Any]) -> Any:
        self.height += 1
        if request["method"] == "eth_blockNumber":
            return {"jsonrpc": "2.0", "id": request["id"], "result": hex(self.height)}
        assert request["method"] == "eth_call"
        call, block = request["params"]
        self.blocks.append(block)
        answer = self.answers.get((call["to"], call["data"][2:]), b"")
        if isinstance(answer, dict):
            return {"jsonrpc": "2.0", "id": request["id"], **answer}
        return {"jsonrpc": "2.0", "id": request["id"], "result": "0x" + answer.hex()}


class _Handler(BaseHTTPRequestHandler):
    server: Node

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = self.server.reply(request)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(500 if answer == b"down" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def node() -> Iterator[Node]:
    with Node() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def base() -> Market:
    return Market.parse(example("market-1"))


def source(node: Node, **aggregators: Aggregator) -> ChainlinkSource:
    used = {name.replace("__", "."): aggregator for name, aggregator in aggregators.items()}
    return ChainlinkSource(IDENTITY, JsonRpc(node.url), used, base)


def test_prices_on_chain_replace_those_of_the_base_market(node: Node) -> None:
    node.answers[BTC, LATEST_ROUND_DATA.hex()] = a_round(9_650_012_345_678)
    chain: PriceSource = source(
        node, underlyings__BTC__spot=Aggregator(BTC, 3600), collateral__USDC=Aggregator(USDC, 86400)
    )
    signed = chain.fetch(PLACE)
    signed.verify(frozenset({chain.public_key}))
    market = Price.parse(signed.body).market
    assert (market.sequence, market.as_of) == (7, AT)
    assert (signed.body["rules"], signed.body["previous"]) == (PLACE.rules, PLACE.previous)
    assert format(market.underlyings["BTC"].spot, "f") == "96500.12345678"
    assert format(market.collateral["USDC"], "f") == "0.9999"
    assert market.underlyings["ETH"] == base().underlyings["ETH"]
    # All four calls see one state of the chain.
    assert len(node.blocks) == 4
    assert set(node.blocks) == {"0x65"}
    # It is a source like any other.
    combined = combine([signed], price_rules(IDENTITY), PLACE, AT)
    assert combined.market == market


def test_a_block_can_be_chosen(node: Node) -> None:
    assert read_price(JsonRpc(node.url, block="0x10"), Aggregator(BTC, 60), AT) == base().underlyings["BTC"].spot
    assert set(node.blocks) == {"0x10"}


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (words((5 << 64) + 77, 10**12, 0, 0, (5 << 64) + 77), RoundIncomplete, "no answer yet"),
        (words(77, 10**12, NOW - 40, 0, 77), RoundIncomplete, "no answer yet"),
        (words(77, 10**12, 0, NOW - 30, 77), RoundIncomplete, "no answer yet"),
        (a_round(10**12, answered=(5 << 64) + 76), RoundStale, "is of round"),
        (a_round(10**12, updated=NOW - 61), RoundStale, "61 s old"),
        (a_round(10**12, updated=NOW + 1), RoundStale, "later than the market"),
        (a_round(0), RoundMalformed, "not a price"),
        (a_round(-(10**12)), RoundMalformed, "-1000000000000 is not a price"),
        (words(1 << 80, 10**12, NOW - 40, NOW - 30, 1 << 80), RoundMalformed, "80 bits"),
        (a_round(10**12)[:-1], RoundMalformed, "160 bytes are wanted, got 159"),
        (b"", RoundMalformed, "is there an aggregator"),
        (a_round(10**12) + bytes(32), RoundMalformed, "192"),
        (a_round(1 << 200), RoundMalformed, "make no market"),
        ({"result": "0x0"}, RoundMalformed, "not hex"),
        ({"result": None}, RoundMalformed, "not hex"),
        ({"error": {"code": 3, "message": "execution reverted"}}, SourceUnreachable, "execution reverted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_fresh_price_is_not_signed(node: Node, answer: Any, error: type[SourceError], said: str) -> None:
    node.answers[BTC, LATEST_ROUND_DATA.hex()] = answer
    with pytest.raises(SourceError, match=said) as caught:
        source(node, underlyings__BTC__spot=Aggregator(BTC, 60)).fetch(PLACE)
    assert type(caught.value) is error


def test_ages_up_to_the_heartbeat_count(node: Node) -> None:
    for updated in (NOW - 60, NOW):
        node.answers[BTC, LATEST_ROUND_DATA.hex()] = a_round(10**12, updated=updated)
        assert read_price(JsonRpc(node.url), Aggregator(BTC, 60), AT) == 10_000


@pytest.mark.parametrize("answer", [words(19), words(1 << 255), b"", words(8, 8)], ids=["19", "huge", "none", "two"])
def test_decimals_are_checked(node: Node, answer: bytes) -> None:
    node.answers[BTC, DECIMALS.hex()] = answer
    with pytest.raises(RoundMalformed):
        source(node, underlyings__BTC__spot=Aggregator(BTC, 60)).fetch(PLACE)


@pytest.mark.parametrize(
    "reply",
    [b"down", b"no json", {"jsonrpc": "2.0", "id": -1, "result": "0x"}, ["x"], {"jsonrpc": "2.0"}],
    ids=["500", "text", "other-id", "list", "no-result"],
)
def test_a_node_that_fails_is_named(node: Node, reply: Any) -> None:
    node.reply = lambda request: {**reply, "id": request["id"]} if reply == {"jsonrpc": "2.0"} else reply
    with pytest.raises(SourceUnreachable, match="eth_blockNumber"):
        source(node, underlyings__BTC__spot=Aggregator(BTC, 60)).fetch(PLACE)


def test_a_node_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceUnreachable, match="does not answer"):
        JsonRpc("http://127.0.0.1:9", timeout=2)(BTC, DECIMALS)


@pytest.mark.parametrize("path", ["underlyings.SOL.spot", "underlyings.BTC", "rate", "collateral", "sequence"])
def test_only_prices_that_the_base_has_are_replaced(node: Node, path: str) -> None:
    with pytest.raises(SourceError, match="no such price"):
        ChainlinkSource(IDENTITY, JsonRpc(node.url), {path: Aggregator(BTC, 60)}, base).fetch(PLACE)


@pytest.mark.parametrize("address", ["", "b7" * 20, "0x" + "b7" * 19, "0x" + "zz" * 20])
def test_an_address_is_one(address: str) -> None:
    with pytest.raises(SourceError, match="40 hex digits"):
        Aggregator(address, 60)


def test_five_words_are_decoded_as_solidity_encodes_them() -> None:
    """Written out by hand: uint80, int256 (two's complement), uint256, uint256, uint80, each in 32 bytes."""
    data = bytes.fromhex(
        "00000000000000000000000000000000000000000000000" + "50000000000001a2b"
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff85"
        "000000000000000000000000000000000000000000000000000000006a0e1f00"
        "000000000000000000000000000000000000000000000000000000006a0e1f0c"
        "00000000000000000000000000000000000000000000000" + "50000000000001a2b"
    )
    decoded = decode_round(data, BTC)
    assert decoded == ((5 << 64) + 0x1A2B, -123, 0x6A0E1F00, 0x6A0E1F0C, (5 << 64) + 0x1A2B)


def command(node: Node, folder: Path, *options: str, ticks: Ticks | None = None) -> Result:
    rules = price_rules(IDENTITY) if ticks is None else ticks.rules
    (folder / "base.json").write_text(json.dumps(example("market-1")))
    (folder / "rules.json").write_text(json.dumps(rules.canonical()))
    arguments = ["feed", "chainlink", str(folder / "base.json"), "--key", str(folder / "source.key")]
    with serving(ticks or Ticks(rules)) as operator:
        arguments += ["--price-rules", str(folder / "rules.json"), "--operator", operator.url, *options]
        return CliRunner().invoke(app, arguments if "--rpc" in options else [*arguments, "--rpc", node.url])


def test_the_command_signs_what_the_chain_says(node: Node, tmp_path: Path) -> None:
    node.answers[BTC, LATEST_ROUND_DATA.hex()] = a_round(9_650_012_345_678)
    options = ("--aggregator", f"underlyings.BTC.spot={BTC},60", "--aggregator", f"collateral.USDC={USDC},60")
    ticks = Ticks(price_rules(IDENTITY), IDENTITY)
    first = ticks.make(0)
    result = command(node, tmp_path, *options, "--block", "0x10", ticks=ticks)
    assert result.exit_code == 0, result.output
    signed = SignedDocument.parse(json.loads(result.stdout))
    signed.verify(frozenset({Identity.load_or_create(tmp_path / "source.key").public_key}))
    price = Price.parse(signed.body)
    assert (price.rules, price.previous) == (ticks.rules.hash(), first.body_hash())
    market = price.market
    assert (market.sequence, market.as_of, str(market.underlyings["BTC"].spot)) == (2, AT, "96500.12345678")
    assert market.underlyings["ETH"] == base().underlyings["ETH"]
    assert set(node.blocks) == {"0x10"}


def test_the_command_signs_under_the_present_time(node: Node, tmp_path: Path) -> None:
    now = int(datetime.now(timezone.utc).timestamp())
    node.answers[BTC, LATEST_ROUND_DATA.hex()] = a_round(9_650_012_345_678, updated=now - 1)
    result = command(node, tmp_path, "--aggregator", f"underlyings.BTC.spot={BTC},600", "--now")
    assert result.exit_code == 0, result.output
    price = Price.parse(json.loads(result.stdout)["body"])
    assert 0 <= price.market.as_of.timestamp() - now < 60
    assert (price.market.sequence, price.previous) == (1, NO_TICK)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((f"underlyings.BTC.spot={BTC},29",), "30 s old"),
        ((f"underlyings.BTC.spot={BTC},60", "--now"), "s old"),
        ((f"underlyings.SOL.spot={BTC},60",), "no such price"),
        (("underlyings.BTC.spot=0xb7,60",), "40 hex digits"),
        (("underlyings.BTC.spot",), "PATH=ADDRESS,SECONDS"),
        ((f"underlyings.BTC.spot={BTC}",), "PATH=ADDRESS,SECONDS"),
        ((f"underlyings.BTC.spot={BTC},-1",), "PATH=ADDRESS,SECONDS"),
        ((f"underlyings.BTC.spot={BTC},60", "--rpc", "http://["), "does not answer"),
    ],
)
def test_what_the_command_cannot_sign_is_one_sentence(
    node: Node, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = command(node, tmp_path, "--aggregator", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def keccak_256(message: bytes) -> bytes:
    """Keccak as submitted to the SHA-3 contest (padding 0x01), which Solidity uses; hashlib has only the standard."""
    mask, rate = (1 << 64) - 1, 136

    def rotate(value: int, by: int) -> int:
        return ((value << by % 64) | (value >> (64 - by % 64))) & mask

    state = [[0] * 5 for _ in range(5)]
    padded = bytearray(message + b"\x01" + bytes(-(len(message) + 1) % rate))
    padded[-1] |= 0x80
    for start in range(0, len(padded), rate):
        for lane in range(rate // 8):
            word = padded[start + 8 * lane : start + 8 * lane + 8]
            state[lane % 5][lane // 5] ^= int.from_bytes(word, "little")
        register = 1
        for _ in range(24):
            parity = [state[x][0] ^ state[x][1] ^ state[x][2] ^ state[x][3] ^ state[x][4] for x in range(5)]
            for x in range(5):
                mixed = parity[x - 1] ^ rotate(parity[(x + 1) % 5], 1)
                state[x] = [lane ^ mixed for lane in state[x]]
            x, y, moving = 1, 0, state[1][0]
            for step in range(24):
                x, y = y, (2 * x + 3 * y) % 5
                moving, state[x][y] = state[x][y], rotate(moving, (step + 1) * (step + 2) // 2)
            for y in range(5):
                row = [state[x][y] for x in range(5)]
                for x in range(5):
                    state[x][y] = row[x] ^ (~row[(x + 1) % 5] & mask & row[(x + 2) % 5])
            for bit in range(7):
                if register & 1:
                    state[0][0] ^= 1 << ((1 << bit) - 1)
                register = (register << 1) ^ (0x171 if register >> 7 else 0)
    return b"".join(state[lane % 5][lane // 5].to_bytes(8, "little") for lane in range(4))


def test_selectors_are_hashes_of_signatures() -> None:
    assert keccak_256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak_256(b"latestRoundData()")[:4] == LATEST_ROUND_DATA
    assert keccak_256(b"decimals()")[:4] == DECIMALS
