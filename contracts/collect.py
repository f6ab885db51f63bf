"""Ask the oracle's signers for one attestation, and keep what the oracle will take. For operators and institutions.

No signer is trusted alone: k of n have to sign the same message, to the bit. Who sends what is returned here to a vault
compares the message with what it knows itself before it pays for the transaction; the vault compares it once more.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
from web3 import Web3

from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.attestations import Kind
from atomic_margin.contracts.errors import MessageInvalid, TooFewSignatures
from atomic_margin.contracts.message_json import message_json, parse_message
from atomic_margin.contracts.signatures import Signature, parse_signature, signer_of

MAX_SIGNERS = 16
"""As the oracle."""
MAX_ANSWER_BYTES = 1 << 16
MAX_BRACKETS = 200
TIMEOUT_SECONDS = 120.0
"""For one signer's whole answer: it verifies proofs first, and others' before."""
CALLS: Mapping[str, tuple[str, Kind]] = {
    "atomic-margin/settlement-request/1": ("/sign-matrices", "MatrixAttestation"),
    "atomic-margin/registration-request/1": ("/sign-portfolio", "PortfolioAttestation"),
}
"""Path and answer of each format of request."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignerSet:
    """The signers that an oracle believes.

    Attributes:
        chain: id of its chain.
        oracle: its address.
        version: of the set.
        threshold: k.
        members: addresses.
    """

    chain: int
    oracle: str
    version: int
    threshold: int
    members: tuple[str, ...]

    @classmethod
    def read(cls, web3: Web3, oracle: str) -> "SignerSet":
        """Return the set in force, all of it as it is in one block."""
        contract = web3.eth.contract(address=Web3.to_checksum_address(oracle), abi=load_artifact("MatrixOracle").abi)
        block = web3.eth.get_block("latest")["number"]
        version, threshold, members = (
            contract.functions[name]().call(block_identifier=block) for name in ("signerSet", "threshold", "signers")
        )
        return cls(web3.eth.chain_id, contract.address, version, threshold, tuple(members))


class Collected(NamedTuple):
    """An attestation that the oracle takes.

    Attributes:
        message: fields, as contracts take them.
        signatures: r, s and v of k signers, ascending by address.
    """

    message: dict[str, Any]
    signatures: list[Signature]


class _Answer(NamedTuple):
    signer: str
    message: dict[str, Any]
    signature: Signature


def collect(
    urls: Sequence[str],
    request: Mapping[str, Any],
    k: int,
    signer_set: SignerSet,
    timeout: float = TIMEOUT_SECONDS,
) -> Collected:
    """Ask signers, all at once, and return one message with the signatures of k of them.

    Args:
        urls: where signers serve.
        request: what each is asked, of a format in `CALLS`.
        k: how many have to sign.
        signer_set: that the oracle believes.
        timeout: seconds that each has for all of its answer.

    Raises:
        TooFewSignatures: fewer than k members of the set signed one message; it says what each answered.
        ValueError: an unknown format, too many or no addresses, or a k that is no majority of the set.
    """
    if request.get("format") not in CALLS:
        raise ValueError(f"a request has one of the formats {', '.join(CALLS)}")
    if not 1 <= len(urls) <= MAX_SIGNERS:
        raise ValueError(f"1 to {MAX_SIGNERS} signers are asked, got {len(urls)}")
    if not len(signer_set.members) < 2 * k <= 2 * len(signer_set.members):
        raise ValueError(f"{k} of {len(signer_set.members)} signers are no majority of them, or more than there are")
    path, kind = CALLS[request["format"]]
    body = json.dumps(request, separators=(",", ":")).encode()
    places = list(dict.fromkeys(url.rstrip("/") for url in urls))
    with ThreadPoolExecutor(len(places)) as threads:
        answers = list(threads.map(lambda url: _asked(url + path, body, kind, signer_set, timeout), places))
    said = {url: answer if isinstance(answer, str) else "" for url, answer in zip(places, answers, strict=True)}
    by_message: dict[str, dict[str, tuple[str, _Answer]]] = {}
    for url, answer in zip(places, answers, strict=True):
        if isinstance(answer, str):
            continue
        same = by_message.setdefault(json.dumps(message_json(kind, answer.message)), {})
        if answer.signer in same:
            said[url] = f"{answer.signer} signed it already, at {same[answer.signer][0]}"
        else:
            same[answer.signer] = (url, answer)
    # Of more than half of the set there is one such message at most: nobody counts for two.
    most = _most(by_message, said)
    for url, reason in said.items():
        if reason:
            _log.warning("signer left out", extra={"url": url, "reason": reason})
    if len(most) < k:
        raise TooFewSignatures(
            f"{len(most)} of {len(signer_set.members)} signers signed one {kind}, and {k} are wanted",
            {url: reason or "signed" for url, reason in said.items()},
        )
    ascending = sorted(most, key=lambda answer: int(answer.signer, 16))[:k]
    return Collected(ascending[0].message, [answer.signature for answer in ascending])


def _most(by_message: Mapping[str, Mapping[str, tuple[str, _Answer]]], said: dict[str, str]) -> list[_Answer]:
    """Return the answers with the message that most signers signed, and say of the others how they differ."""
    if not by_message:
        return []
    best = max(by_message.values(), key=len)
    first = next(iter(best.values()))[1].message
    for same in by_message.values():
        if same is best:
            continue
        for url, answer in same.values():
            fields = [name for name, value in answer.message.items() if first[name] != value]
            said[url] = f"{answer.signer} signed another message than the others, in {', '.join(fields)}"
    return [answer for _, answer in best.values()]


def _asked(url: str, body: bytes, kind: Kind, signer_set: SignerSet, timeout: float) -> "_Answer | str":
    """Return what one signer signed, or why that does not count."""
    try:
        data, status = _sent(url, body, timeout)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        return f"it does not answer: {type(error).__name__}"
    except _TooLong as error:
        return str(error)
    try:
        # Deep text ends a process whose limit of recursion some library raised.
        value = None if data.count(b"[") + data.count(b"{") > MAX_BRACKETS else json.loads(data)
    except (ValueError, RecursionError):
        return f"it answers with status {status} and no JSON"
    if not isinstance(value, dict):
        return f"it answers with status {status} and no JSON object"
    if status != 200:
        return f"status {status}: {str(value.get('detail', 'no reason'))[:500]}"
    try:
        return _counted(value, kind, signer_set)
    except MessageInvalid as error:
        return f"its answer does not count: {error}"


def _counted(value: Mapping[str, Any], kind: Kind, signer_set: SignerSet) -> _Answer:
    message, signature = parse_message(kind, value.get("message")), parse_signature(value.get("signature"))
    for name, wanted in (("chain", signer_set.chain), ("signerSet", signer_set.version)):
        if message[name] != wanted:
            raise MessageInvalid(f"{name}: it signed for {message[name]}, and {wanted} is wanted")
    signer = signer_of(signature, kind, message, chain=signer_set.chain, contract=signer_set.oracle)
    if signer not in signer_set.members:
        raise MessageInvalid(f"signature: {signer} is none of set {signer_set.version}")
    return _Answer(signer, message, signature)


class _TooLong(Exception):
    pass


def _sent(url: str, body: bytes, timeout: float) -> tuple[bytes, int]:
    """Return what comes back and its status, within a time for all of it."""
    deadline, data = time.monotonic() + timeout, b""
    headers = {"Content-Type": "application/json"}
    with httpx.stream("POST", url, content=body, headers=headers, timeout=timeout) as response:
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > MAX_ANSWER_BYTES:
                raise _TooLong(f"it answers with more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError
    return data, response.status_code
