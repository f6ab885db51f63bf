"""Whatever is said changes every later challenge."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.zk import transcript as module
from atomic_margin.zk.errors import TranscriptError
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.transcript import Transcript

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "transcript.json").read_text())
STATEMENT = [("limit", b"100"), ("run", b"7")]


def challenge(
    protocol: str = "p",
    statement: list[tuple[str, bytes]] = STATEMENT,
    messages: tuple[tuple[str, bytes], ...] = (("A", b"a"), ("S", b"s")),
    label: str = "x",
) -> int:
    transcript = Transcript(protocol, statement)
    for name, data in messages:
        transcript.absorb(name, data)
    return transcript.challenge(label)


@pytest.mark.parametrize(
    "changed",
    [
        {"protocol": "q"},
        {"statement": [("limit", b"101"), ("run", b"7")]},
        {"statement": [("limit", b"100"), ("ran", b"7")]},
        {"statement": [("run", b"7"), ("limit", b"100")]},
        {"statement": [("limit", b"100")], "messages": (("run", b"7"), ("A", b"a"), ("S", b"s"))},
        {"statement": [("limit", b"100run"), ("", b"7")]},
        {"messages": (("A", b"as"), ("S", b""))},
        {"messages": (("S", b"s"), ("A", b"a"))},
        {"messages": (("A", b"a"),)},
        {"label": "y"},
    ],
)
def test_every_difference_changes_the_challenge(changed: dict[str, object]) -> None:
    assert challenge() == challenge()
    assert challenge(**changed) != challenge()  # type: ignore[arg-type]


def test_a_challenge_depends_on_the_challenges_before_it() -> None:
    first, second = Transcript("p", STATEMENT), Transcript("p", STATEMENT)
    for transcript in (first, second):
        transcript.absorb("A", b"a")
    first.challenge("y")
    assert first.challenge("z") != second.challenge("z")


def test_challenges_are_in_range() -> None:
    assert all(0 < challenge(messages=(("A", bytes([i])),)) < ORDER for i in range(50))


def test_a_challenge_before_any_message_is_refused() -> None:
    with pytest.raises(TranscriptError, match="before any message"):
        Transcript("p", STATEMENT).challenge("x")


def test_an_empty_statement_is_refused() -> None:
    with pytest.raises(TranscriptError, match="empty"):
        Transcript("p", [])


def test_a_label_used_twice_is_refused() -> None:
    with pytest.raises(TranscriptError, match="twice"):
        Transcript("p", [("run", b"7"), ("run", b"8")])


def test_a_zero_challenge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def sha256(data: bytes) -> bytes:
        # The order itself, in 64 bytes: zero only after reduction.
        return bytes(32) if data.endswith(b"\x03\x00") else ORDER.to_bytes(32, "big")

    monkeypatch.setattr(module, "_sha256", sha256)
    with pytest.raises(TranscriptError, match="zero"):
        challenge()


def put(state: bytes, kind: int, label: str, data: bytes) -> bytes:
    """One step, written down once more."""
    name = label.encode()
    said = [state, bytes([kind]), len(name).to_bytes(4, "big"), name, len(data).to_bytes(8, "big"), data]
    return hashlib.sha256(b"".join(said)).digest()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["protocol"])
def test_vectors_for_other_languages(vector: dict[str, Any]) -> None:
    statement = [(label, bytes.fromhex(data)) for label, data in vector["statement"]]
    transcript = Transcript(vector["protocol"], statement)
    state = put(bytes(32), 1, "atomic-margin/v2/zk/transcript", vector["protocol"].encode())
    for label, data in [*statement, ("statement parts", len(statement).to_bytes(4, "big"))]:
        state = put(state, 1, label, data)
    for step in vector["steps"]:
        if "absorb" in step:
            transcript.absorb(step["absorb"], bytes.fromhex(step["data"]))
            state = put(state, 1, step["absorb"], bytes.fromhex(step["data"]))
            continue
        state = put(state, 2, step["challenge"], b"")
        wide = b"".join(hashlib.sha256(state + bytes([3, half])).digest() for half in (0, 1))
        assert step["state"] == state.hex()
        assert step["value"] == f"{transcript.challenge(step['challenge']):064x}"
        assert int(step["value"], 16) == int.from_bytes(wide, "big") % ORDER
