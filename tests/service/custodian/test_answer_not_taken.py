"""A game: the institution answers in time, by receipts of all witnesses, and the operator does not take it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.service.protocol.delivery import DeliveryRequest
from atomic_margin.service.witness.deliveries import Deliveries

from ..documents import FUND
from .engines import truthful
from .played import POINTS, Scene
from .test_openings import asked, rounds

pytestmark = pytest.mark.long

Open = Callable[[str], Scene]


def test_nothing_moves_in_an_account_whose_timely_answer_the_operator_does_not_take(
    scene_at: Open, tmp_path: Path
) -> None:
    """docs/threat-model.md: an operator that takes nothing at all stops the account, and nothing in it moves."""
    scene = scene_at("owed-fall")
    answer, origin = scene.world.prove_answer(f"{FUND}.2"), scene.world.operator.log_key.name
    said = DeliveryRequest.parse({"log": origin, "document": answer.body_hash()})
    for number, witness in enumerate(scene.watched.identities):
        # When the run was played, so within its time to answer; see `played.owe`.
        kept = Deliveries(tmp_path / f"w{number}.db", witness, [origin], lambda: scene.clock.seconds - 1990)
        assert kept.receipt(said, "fund").body["document"] == answer.body_hash()
        kept.close()
    before = scene.world.account().public.posted
    asked(scene)
    rounds([scene.party(point, truthful(scene, 2)) for point in POINTS])
    assert scene.world.account().public.posted == before, "custodians opened a book whose answer witnesses had in time"
