"""A price source that reads on-chain aggregators of the Chainlink kind.

It needs nothing but a function that carries out an `eth_call` (JSON-RPC, Ethereum execution API) and returns the bytes;
`JsonRpc` is one over HTTP. An aggregator answers `latestRoundData()` with five words of 32 bytes (roundId, answer,
startedAt, updatedAt, answeredInRound; AggregatorV3Interface of the Chainlink contracts) and `decimals()` with one. What
no aggregator has (volatilities, most forwards) comes from a market the caller supplies.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import httpx

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import RoundIncomplete, RoundMalformed, RoundStale, SourceError, SourceUnreachable
from atomic_margin.service.feed.combine import quotes_of
from atomic_margin.service.feed.source import sign_market
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import Place

EthCall = Callable[[str, bytes], bytes]
"""Carries out a call of a contract (address, call data) and returns the bytes it answers."""

# First four bytes of keccak-256 of the signatures.
LATEST_ROUND_DATA = bytes.fromhex("feaf968c")
DECIMALS = bytes.fromhex("313ce567")

_WORD = 32
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


class Round(NamedTuple):
    """The answer of an aggregator.

    Attributes:
        round_id: uint80.
        answer: int256, the price times 10^decimals.
        started_at: uint256, seconds of the epoch; 0 in a round that has not started.
        updated_at: uint256, seconds of the epoch; 0 in a round without an answer.
        answered_in_round: uint80; below `round_id` if the answer was carried over.
    """

    round_id: int
    answer: int
    started_at: int
    updated_at: int
    answered_in_round: int


@dataclass(frozen=True)
class Aggregator:
    """Where one quote comes from.

    Attributes:
        address: of the aggregator (or its proxy), 0x and 40 hex digits.
        max_age_seconds: its heartbeat and a little more; an older answer is stale.
    """

    address: str
    max_age_seconds: int

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.address):
            raise SourceError(f"an address is 0x and 40 hex digits, got {self.address!r}")


class ChainlinkSource:
    """Signs a market in which some prices are those of on-chain aggregators."""

    def __init__(
        self,
        identity: Identity,
        eth_call: EthCall,
        aggregators: Mapping[str, Aggregator],
        base: Callable[[], Market],
    ) -> None:
        """Read from `aggregators`, by path of a price (such as ``underlyings.BTC.spot``); the rest comes from `base`.

        `base` is asked at every fetch; the signed document has its time, with which the age of answers is compared.
        """
        self._identity, self._eth_call = identity, eth_call
        self._aggregators, self._base = dict(aggregators), base

    @property
    def public_key(self) -> str:
        """Ed25519 public key of the source, hex."""
        return self._identity.public_key

    def fetch(self, place: Place) -> SignedDocument:
        """Return the market, signed at a place, with the aggregators' prices in it.

        Raises:
            SourceUnreachable: the call fails.
            RoundMalformed, RoundIncomplete, RoundStale: see `read_price`.
            SourceError: a path is not that of a price in the base market.
        """
        base = self._base()
        body: Any = base.canonical()
        prices = {".".join(path): path for path, quote in quotes_of(base).items() if quote.kind == "price"}
        for name, aggregator in self._aggregators.items():
            if name not in prices:
                raise SourceError(f"{name}: the base market has no such price; aggregators replace prices that it has")
            *parents, last = prices[name]
            at = body
            for parent in parents:
                at = at[parent]
            at[last] = format(read_price(self._eth_call, aggregator, base.as_of), "f")
        try:
            market = Market.parse(body)
        except (DocumentsError, MarginError) as error:
            raise RoundMalformed(f"the aggregators' prices make no market: {error}") from error
        return sign_market(self._identity, market, place)


def read_price(eth_call: EthCall, aggregator: Aggregator, at: datetime) -> Decimal:
    """Return an aggregator's price, without rounding.

    Raises:
        RoundMalformed: wrong length, a word out of its type's range, over 18 decimals, or an answer not above 0.
        RoundIncomplete: the round has not started, or has no answer yet.
        RoundStale: the answer is older than `max_age_seconds` at `at`, later than `at`, or of an earlier round.
    """
    name = aggregator.address
    decimals = _words(eth_call(name, DECIMALS), 1, name)[0]
    if decimals > 18:
        raise RoundMalformed(f"{name}: {decimals} decimals, at most 18 are usual")
    latest = decode_round(eth_call(name, LATEST_ROUND_DATA), name)
    # (1) The round has an answer, of its own.
    if latest.started_at == 0 or latest.updated_at == 0:
        raise RoundIncomplete(f"{name}: round {latest.round_id} has no answer yet; ask again later")
    if latest.answered_in_round < latest.round_id:
        raise RoundStale(f"{name}: the answer of round {latest.round_id} is of round {latest.answered_in_round}")
    # (2) It is fresh at the time of the document.
    age = int(at.timestamp()) - latest.updated_at
    if age > aggregator.max_age_seconds:
        raise RoundStale(f"{name}: the answer is {age} s old, at most {aggregator.max_age_seconds} s are allowed")
    if age < 0:
        raise RoundStale(f"{name}: the answer is {-age} s later than the market it goes into; use a newer market")
    # (3) It is a price.
    if latest.answer <= 0:
        raise RoundMalformed(f"{name}: the answer {latest.answer} is not a price")
    with localcontext() as context:
        context.prec = 80
        return Decimal(latest.answer).scaleb(-decimals).normalize()


def decode_round(data: bytes, name: str) -> Round:
    """Decode the five words of ``latestRoundData()`` (Solidity ABI: big-endian, static types).

    Raises:
        RoundMalformed: not five words, or a uint80 out of range.
    """
    round_id, answer, started_at, updated_at, answered_in_round = _words(data, 5, name)
    if max(round_id, answered_in_round) >= 1 << 80:
        raise RoundMalformed(f"{name}: a round number does not fit 80 bits; is this an aggregator?")
    if answer >= 1 << 255:
        answer -= 1 << 256
    return Round(round_id, answer, started_at, updated_at, answered_in_round)


def _words(data: bytes, count: int, name: str) -> list[int]:
    if len(data) != count * _WORD:
        raise RoundMalformed(
            f"{name}: {count * _WORD} bytes are wanted, got {len(data)}: is there an aggregator at this address?"
        )
    return [int.from_bytes(data[at : at + _WORD], "big") for at in range(0, len(data), _WORD)]


class JsonRpc:
    """`eth_call` over HTTP, every call at the same block.

    >>> JsonRpc("http://127.0.0.1:8545", block="0x10")
    JsonRpc('http://127.0.0.1:8545', block='0x10')
    """

    def __init__(self, url: str, *, block: str | None = None, timeout: float = 10) -> None:
        """Call the node at `url`, at `block` (a hex number), or at the newest one at the first call."""
        self._url, self._block, self._timeout = url, block, timeout

    def __repr__(self) -> str:
        return f"JsonRpc({self._url!r}, block={self._block!r})"

    def __call__(self, address: str, data: bytes) -> bytes:
        """Call a contract.

        Raises:
            SourceUnreachable: no answer, or an error instead of a result.
            RoundMalformed: the result is not hex.
        """
        if self._block is None:
            # Decimals and rounds of all aggregators are then of one state of the chain.
            self._block = str(self._ask("eth_blockNumber", []))
        result = self._ask("eth_call", [{"to": address, "data": "0x" + data.hex()}, self._block])
        if not isinstance(result, str) or not _HEX.fullmatch(result):
            raise RoundMalformed(f"{address}: the node's result is not hex")
        return bytes.fromhex(result[2:])

    def _ask(self, method: str, parameters: list[Any]) -> Any:
        number = secrets.randbelow(1 << 31)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        try:
            response = httpx.post(self._url, json=request, timeout=self._timeout)
            answer = response.raise_for_status().json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise SourceUnreachable(f"{self._url} does not answer {method}: {error}") from error
        if not isinstance(answer, dict) or answer.get("id") != number or "result" not in answer:
            said = answer.get("error") if isinstance(answer, dict) else None
            raise SourceUnreachable(f"{self._url} answers {method} with {str(said)[:200] if said else 'no result'}")
        return answer["result"]
