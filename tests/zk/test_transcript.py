"""Whatever is said changes every later challenge."""

import hashlib

import pytest

from atomic_margin.zk import transcript as module
from atomic_margin.zk.errors import TranscriptError
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.transcript import Transcript

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
    class Zero:
        def update(self, data: bytes) -> None: ...

        def copy(self) -> "Zero":
            return self

        def digest(self, size: int) -> bytes:
            # The order itself: zero only after reduction.
            return ORDER.to_bytes(size, "big")

    monkeypatch.setattr(module.hashlib, "shake_256", Zero)
    with pytest.raises(TranscriptError, match="zero"):
        challenge()
    monkeypatch.undo()
    assert hashlib.shake_256 is not Zero
