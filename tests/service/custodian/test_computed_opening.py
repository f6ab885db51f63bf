"""An opening at a real operator that three custodians compute by the real engine, each in a process of its own."""

import socket
import threading
from collections.abc import Callable

import pytest

from atomic_margin.service.custodian.closing import Finding
from atomic_margin.service.custodian.computing import Listens
from atomic_margin.service.custodian.engine.run import run_engine

from .engines import rows
from .played import DELAY, Party, Scene

pytestmark = pytest.mark.long
pytest.importorskip("mpyc")

SECONDS = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_a_book_is_opened_by_shares_alone(scene_at: Callable[[str], Scene], stage: str, tick: int, state: str) -> None:
    scene = scene_at(stage)
    scene.publish()
    parties = [
        Party(
            scene,
            point,
            scene.folder / f"custodian-{point}",
            run_engine,
            Listens("127.0.0.1", free_port(), SECONDS),
        )
        for point in (1, 2, 9)
    ]
    for party in parties:
        party.reading.look()
    request = scene.ask()
    scene.clock.seconds += DELAY
    scene.publish()
    over = threading.Event()

    def work(party: Party) -> None:
        while not over.wait(0.2):
            party.openings.round()

    threads = [threading.Thread(target=work, args=[party], daemon=True) for party in parties]
    for thread in threads:
        thread.start()
    for _ in range(5 * SECONDS):
        if scene.world.run(f"larkfield.{tick}").state == state or not any(one.is_alive() for one in threads):
            break
        over.wait(0.2)
    over.set()
    for thread in threads:
        thread.join(SECONDS)
    assert scene.world.run(f"larkfield.{tick}").state == state
    least = rows(scene, "maintenance", tick)
    for party in parties:
        row = party.store.opening(request)
        assert row is not None
        assert row.session == 1
        found = party.store.found(row.run)
        assert found is not None
        assert found.breach == (min(least) < 0)
        assert found.maintenance_row == (least.index(min(least)) if found.breach else None)
        if row.finding is not None:
            assert Finding.parse(row.finding).outcome == ("breach" if found.breach else "covered")
        party.close()
