"""The process: rounds that fail are tried again, and it ends when it is asked to."""

import logging
import threading
from collections.abc import Callable

import pytest

from atomic_margin.service.custodian import process as processes
from atomic_margin.service.custodian.client import OperatorClient
from atomic_margin.service.custodian.process import CustodianProcess, Loop, Settings
from atomic_margin.service.errors import RemoteError

from .played import LISTENS, Scene

Open = Callable[[str], Scene]


def test_a_round_that_fails_is_tried_again_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(processes, "LONGEST_PAUSE_SECONDS", 0.01)
    stop, calls = threading.Event(), list[int]()

    def round_() -> None:
        calls.append(len(calls))
        if len(calls) == 5:
            stop.set()
        if len(calls) < 4:
            raise RemoteError("the operator does not answer")

    loop = Loop("deals", round_, 0.01, stop)
    loop.thread.start()
    loop.thread.join(10)
    assert len(calls) == 5
    assert [record.getMessage() for record in caplog.records] == [
        "deals wait: RemoteError: the operator does not answer; trying again",
        "deals go on",
    ]


@pytest.mark.parametrize("fresh", [True, False])
def test_it_takes_deals_and_ends_when_it_is_asked_to(
    scene_at: Open, caplog: pytest.LogCaptureFixture, fresh: bool
) -> None:
    scene = scene_at("dealt")
    scene.publish()
    if not fresh:
        scene.clock.seconds += 100
    party = scene.party(2)
    party.client.close()

    def connect() -> OperatorClient:
        transport = scene.world.client._transport
        return OperatorClient("http://127.0.0.1", party.folder.identity, scene.world.key, transport=transport)

    def engine(*_: object) -> object:
        raise AssertionError("nothing is open")

    settings = Settings("127.0.0.1:8430", LISTENS, 0.05, 7)
    process = CustodianProcess(party.own, connect, engine, settings)  # type: ignore[arg-type]
    process.start()
    deal, waited = scene.dealt.dealing.deal, threading.Event()
    for _ in range(200):
        row = party.store.deal(deal)
        if row is not None and row.sent:
            break
        waited.wait(0.05)
    assert row is not None
    assert row.sent
    threading.Timer(0.1, process.stop).start()
    process.wait()
    process.close()
    assert not any(loop.thread.is_alive() for loop in process._loops)
    assert party.folder.directory.joinpath("log.json").exists() == fresh
    assert ("the log is not read" in caplog.text) != fresh
