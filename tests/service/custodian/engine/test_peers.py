"""Openings in which one of the processes is not what the others expect: each ends with a named error, and in time."""

import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from atomic_margin.service.custodian.engine.errors import (
    EngineError,
    EngineStalled,
    IdentityRefused,
    PeerError,
    PeerLost,
    PeerMalformed,
    ShareMismatch,
    TaskDiffers,
    VerdictDiffers,
)
from atomic_margin.service.custodian.engine.run import GRACE_SECONDS
from atomic_margin.service.custodian.engine.task import Verdict
from atomic_margin.service.protocol.signing import Identity
from tests.service.custodian.engine.deviating import bomb
from tests.service.custodian.engine.present import Custodian, Deviating, changed, present, together

pytestmark = pytest.mark.long
SECONDS = 30
SHORT = 8
"""Where the limit is what ends it; starting three processes beside other tests takes a part of it."""


@pytest.fixture
def three() -> list[Custodian]:
    """Points 1, 2 and 4 of four with threshold 2, and a covered book."""
    return present((1, 2, 4), 2, (5, 6), (7,), seconds=SECONDS)


def ended(custodians: list[Custodian]) -> list[EngineError]:
    """The errors of all, which come within the limit."""
    begun = time.monotonic()
    found = together(custodians)
    assert time.monotonic() - begun < SECONDS + GRACE_SECONDS
    assert all(isinstance(one, EngineError) for one in found), found
    return [one for one in found if isinstance(one, EngineError)]


def require_waited(errors: list[EngineError], point: int) -> None:
    """They waited for a point until their limits, or the first did: whoever began later hears of that one's end."""
    assert (point,) in {error.points for error in errors if isinstance(error, EngineStalled)}
    for error in errors:
        if isinstance(error, EngineStalled):
            assert error.points == (point,)
        else:
            assert isinstance(error, PeerLost)
            assert f"EngineStalled, points {point}" in str(error)


def test_who_does_not_come_is_named(three: list[Custodian]) -> None:
    three = [changed(one, seconds=SHORT) for one in three]
    require_waited(ended(three[:2]), 4)
    require_waited(ended(three[1:]), 1)


def test_who_falls_silent_is_named(three: list[Custodian]) -> None:
    three = [changed(one, seconds=SHORT) for one in three]
    # Its own limit comes later: or else it may say that it waited for others, and end first.
    with Deviating(changed(three[1], seconds=3 * SHORT), "silent"):
        require_waited(ended([three[0], three[2]]), 2)


def test_who_ends_early_is_named(three: list[Custodian]) -> None:
    with Deviating(three[1], "stop"):
        errors = ended([three[0], three[2]])
    # Whoever reads of it second may hear of the first one's end sooner.
    assert all(isinstance(error, PeerLost) for error in errors)
    assert (2,) in {error.points for error in errors}


@pytest.mark.parametrize(
    "changes", [{"request": "ef" * 32}, {"rows": "ef" * 32}, {"bits": 13}], ids=["request", "rows", "bits"]
)
def test_another_task_is_named_on_both_sides(three: list[Custodian], changes: dict[str, object]) -> None:
    three = [changed(one, seconds=SHORT) for one in three]
    three[2] = changed(three[2], **changes)
    first, second, other = ended(three)
    assert isinstance(other, TaskDiffers)
    assert other.points in {(1,), (2,)}
    assert (4,) in {error.points for error in (first, second) if isinstance(error, TaskDiffers)}
    # The other of the two may hear of it by the first one's end alone, or, if it comes late, not at all.
    for error in (first, second):
        assert (
            isinstance(error, TaskDiffers)
            or (isinstance(error, PeerLost) and "TaskDiffers, points 4" in str(error))
            or (isinstance(error, EngineStalled) and 4 in error.points)
        )


def test_another_identity_is_refused_where_it_listens(three: list[Custodian]) -> None:
    with Deviating(three[0], "none", certified_by=Identity.generate()):
        for error in ended(three[1:]):
            assert isinstance(error, IdentityRefused | PeerLost)
        assert isinstance(error, IdentityRefused)
        assert error.points == (1,)


def test_another_identity_is_dropped_where_it_dials(three: list[Custodian]) -> None:
    three = [changed(one, seconds=SHORT) for one in three]
    with Deviating(three[2], "none", certified_by=Identity.generate()) as other:
        require_waited(ended(three[:2]), 4)
        said = other.said()
    assert said["error"] == "EngineStalled"
    assert "hangs up on this custodian's certificate" in str(said["detail"])


def test_another_custodian_s_identity_is_not_that_point_s(three: list[Custodian]) -> None:
    with Deviating(three[0], "none", certified_by=three[1].identity):
        *_, error = ended(three[1:])
    assert isinstance(error, IdentityRefused)


def test_a_bomb_goes_off_where_it_is_unpickled(tmp_path: Path) -> None:
    for as_scalars in (False, True):
        marker = tmp_path / str(as_scalars)
        subprocess.run(
            [sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)"],
            input=bomb(str(marker), as_scalars),
            check=True,
        )
        assert marker.exists()


@pytest.mark.parametrize("way", ["bomb", "bomb-of-scalars", "oversized", "garbage", "flood", "short", "greeting"])
def test_hostile_bytes_end_the_opening_and_nothing_else(three: list[Custodian], way: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with Deviating(three[1], way, marker=str(marker)):
        errors = ended([three[0], three[2]])
    assert not marker.exists()
    assert all(isinstance(error, PeerError) for error in errors), errors
    named = [error for error in errors if isinstance(error, PeerMalformed)]
    assert named
    if way not in ("short", "bomb-of-scalars"):
        assert (2,) in {error.points for error in named}


def test_strangers_end_no_opening(three: list[Custodian]) -> None:
    address = ("127.0.0.1", three[0].task.present[0].port)
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    came = []

    def disturb() -> None:
        for attempt in range(200):
            try:
                with socket.create_connection(address, timeout=5) as plain:
                    if attempt % 2:
                        plain.sendall(b"\x16\x03\x01\xff\xff" + bytes(4096))
                    else:
                        with anyone.wrap_socket(plain) as wrapped:
                            wrapped.sendall(b"amengin1")
                            wrapped.recv(64)
                    came.append(attempt)
            except ssl.SSLError:
                came.append(attempt)
            except OSError:
                time.sleep(0.05)
            if len(came) >= 20:
                return

    thread = Thread(target=disturb)
    thread.start()
    # The last of them comes late, so that there is time for strangers.
    with Deviating(three[0], "none") as first:
        thread.join()
        found = together(three[1:])
        said = first.said()
    assert len(came) >= 20
    assert found == [Verdict(breach=False)] * 2
    assert said == Verdict(breach=False).to_fields()


def test_another_verdict_is_named(three: list[Custodian]) -> None:
    with Deviating(three[1], "verdict"):
        errors = ended([three[0], three[2]])
    assert all(isinstance(error, VerdictDiffers | PeerLost) for error in errors)
    assert (2,) in {error.points for error in errors if isinstance(error, VerdictDiffers)}


def test_who_deviates_can_invent_a_breach_and_deny_one() -> None:
    """What the records say of deviating, measured: the step after this one has to notice."""
    covered = present((1, 2, 4), 2, (5, 6), (7,), seconds=SECONDS)
    with Deviating(covered[1], "invent"):
        assert together([covered[0], covered[2]]) == [Verdict(True, 0, 0)] * 2
    breached = present((1, 2, 4), 2, (5, -6), (7,), seconds=SECONDS)
    with Deviating(breached[1], "deny"):
        assert together([breached[0], breached[2]]) == [Verdict(breach=False)] * 2


def test_who_puts_in_another_share_openly_ends_it(three: list[Custodian]) -> None:
    own = three[1].task.maintenance
    three[1] = changed(three[1], maintenance=(own[0] ^ 1, *own[1:]))
    assert all(isinstance(error, ShareMismatch) for error in ended(three))
