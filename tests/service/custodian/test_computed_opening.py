"""An opening at a real operator that three custodians compute by the real engine, each in a process of its own."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.active_pieces import Tail, certify
from atomic_margin.margin.rows.certificate import combined_row
from atomic_margin.service.custodian import slack
from atomic_margin.service.custodian.computing import Listens
from atomic_margin.service.custodian.engine.run import run_engine
from atomic_margin.service.custodian.engine.task import EngineTask, Verdict
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.protocol.account.opening_documents import Finding
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import Identity

from ..documents import example
from ..test_exact_answers import BETWEEN, document, terms_under
from .engines import rows
from .played import DELAY, Party, Scene, Story

pytestmark = pytest.mark.long
pytest.importorskip("mpyc")

SECONDS = 60


def opened(scene: Scene, tick: int, state: str) -> tuple[str, list[Party]]:
    """Ask for the book of a run, and let three custodians work until it is in a state."""
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
    return request, parties


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_a_book_is_opened_by_shares_alone(scene_at: Callable[[str], Scene], stage: str, tick: int, state: str) -> None:
    scene = scene_at(stage)
    request, parties = opened(scene, tick, state)
    least = rows(scene, "maintenance", tick)
    for party in parties:
        row = party.store.opening(request)
        assert row is not None
        assert row.session == 1
        found = party.store.found(row.run)
        assert found is not None
        assert found.breach == (min(least) < 0)
        assert found.maintenance_row == (least.index(min(least)) if found.breach else None)
        assert found.maintenance_chosen is None
        if row.finding is not None:
            assert Finding.parse(row.finding).outcome == ("breach" if found.breach else "covered")
        party.close()


@pytest.fixture(scope="module")
def with_slack(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story under expected shortfall, with collateral that covers the book in its exact rows alone."""
    return Story(tmp_path_factory.mktemp("slack"), terms_under(document() | {"initial_factor": "1"}), {"USDC": BETWEEN})


@pytest.mark.parametrize(("stage", "tick", "state"), [("owed-calm", 1, "covered"), ("owed-fall", 2, "settled")])
def test_a_book_of_a_model_with_slack_is_opened_by_its_exact_rows(
    with_slack: Story, tmp_path: Path, stage: str, tick: int, state: str
) -> None:
    scene = with_slack.open(stage, tmp_path / "scene")
    request, parties = opened(scene, tick, state)
    # Conservative rows are short in both.
    assert min(rows(scene, "maintenance", tick)) < 0
    record = RunRecord.parse(scene.world.run(f"larkfield.{tick}").record["body"])
    market, z = Market.parse(example(f"market-{tick}")), np.array(scene.dealt.values, dtype=np.int64)
    best, values = {}, {}
    for kind in KINDS:
        exact = scene.world.terms.proof_rows(kind, "exact", market, record.posted, record).exact
        assert exact is not None
        best[kind] = certify(exact, z, int(exact.margin_rows[0]))
        values[kind] = combined_row(exact, best[kind]).value(z)
    breach = state == "settled"
    assert (values["maintenance"] < 0) == breach
    findings = []
    for party in parties:
        row = party.store.opening(request)
        assert row is not None
        assert row.session == 1
        found = party.store.found(row.run)
        assert found is not None
        assert found.breach == breach
        assert (found.maintenance_chosen is not None) == (found.initial_chosen is not None) == breach
        findings += [] if row.finding is None else [Finding.parse(row.finding)]
        party.close()
    assert findings
    for finding in findings:
        assert finding.outcome == ("breach" if breach else "covered")
        for kind in KINDS if breach else ():
            assert getattr(finding, f"{kind}_certificate").certificate == best[kind]
        assert not breach or values["initial"] + best["initial"].scale * finding.top_up >= 0
    scene.close()


def test_a_combined_row_that_no_proof_takes_is_refused_by_all(
    with_slack: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turns out after the computation, of which nothing is sent; the book stays frozen."""
    scene = with_slack.open("owed-fall", tmp_path / "scene")

    def engine(task: EngineTask, identity: Identity) -> Verdict:
        assert task.slack is not None
        tail = task.slack[0]
        assert isinstance(tail, Tail)
        monkeypatch.setattr(slack, "MAX_ROW_BITS", 20)
        return Verdict(True, tail.row, tail.row, tail.moves[:2], tail.moves[:2])

    scene.publish()
    parties = [scene.party(point, engine) for point in (1, 2, 9)]
    for party in parties:
        party.reading.look()
    request = scene.ask()
    scene.clock.seconds += DELAY
    scene.publish()
    for _ in range(2):
        for party in parties:
            party.openings.round()
    first = parties[0].store.opening(request)
    assert first is not None
    assert parties[0].store.found(first.run) is not None
    assert (first.state, first.finding) == ("refused", None)
    assert first.reason.startswith("SlackNotOpened: the combined row takes")
    assert scene.world.run("larkfield.2").state == "unproven"
    assert [one.document.type for one in scene.world.entries()][-1] == "opening-lapse"
    scene.close()
