"""Row: "settlement fires twice, or half". One transaction under the run's name, however often the answer comes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from atomic_margin.service.protocol.signing import SignedDocument

from ..e2e.harness import World, copy_world
from .attacks import Stage, signed_again

pytestmark = pytest.mark.fhe


def test_answers_at_once_and_again_settle_once(played: World, stage: Stage, tmp_path: Path) -> None:
    world = copy_world(played, tmp_path / "world")
    # The run is evaluated already, under encryption.
    world.program = "tests.e2e.plain_server"
    with world.serving() as operator:
        before = world.account().collateral
        url = f"{operator.url}/v1/runs/{stage.open}/answer"

        def send(_: int) -> httpx.Response:
            return httpx.post(url, json=stage.answer, timeout=60, auth=world.auth())

        with ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(send, range(4)))
        taken = [response.json() for response in responses if response.is_success]
        assert taken
        # Whoever came second gets the same receipt, or is told that the run has its answer.
        assert all(receipt == taken[0] for receipt in taken)
        assert {response.status_code for response in responses} <= {200, 201, 409}
        view = world.wait_run(stage.open)
        moves = view.settlement["body"]["transfers"]
        after, ledger = world.account().collateral, world.ledger()
        assert moves
        for move in moves:
            was = before.posted.get(move["asset"], 0)
            assert after.posted[move["asset"]] == was + int(move["quantity"])
        # Again, and with another signature over another body: nothing more.
        assert send(0).json() == taken[0]
        other = signed_again(stage.answer, stage.agent.identity, top_up=str(2 * int(stage.answer["body"]["top_up"])))
        assert httpx.post(url, json=other, auth=world.auth()).status_code == 409
        assert world.ledger() == ledger
        assert view.settlement["body"]["answer"] == SignedDocument.parse(stage.answer).body_hash()
