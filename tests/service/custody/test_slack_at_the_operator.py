"""What custodians find of a book of a model with slack, at the operator and to the agent that comes back."""

from pathlib import Path

import numpy as np
import pytest

from atomic_margin.margin.errors import SlackNeedsSolver
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.margin.rows.active_pieces import Tail, shape_of, worst_moves
from atomic_margin.service.custodian import closing
from atomic_margin.service.custodian.judging import Judged
from atomic_margin.service.custodian.receiving import Taken
from atomic_margin.service.custodian.slack import shapes_of
from atomic_margin.service.custodian.stored import Found
from atomic_margin.service.operator.runs import opened as operators
from atomic_margin.service.protocol.account.opening_documents import Finding, OpeningRequest
from atomic_margin.service.protocol.states import RunState
from atomic_margin.zk.groups import load_group

from ..documents import FUND, example
from ..rounds import in_step
from ..test_exact_answers import BETWEEN, document, terms_under
from .conftest import Later, Rooms
from .opening import Owed

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def with_slack(tmp_path_factory: pytest.TempPathFactory) -> Rooms:
    return Rooms(tmp_path_factory.mktemp("slack"), terms_under(document() | {"initial_factor": "1"}), {"USDC": BETWEEN})


def finding_of(owed: Owed, outcome: str) -> Finding:
    """What a closer makes of the holders' shares; which moves are the tail, the book itself tells."""
    ground, world = owed.ground, owed.world
    [asked] = [one.document.body for one in world.entries() if one.document.type == OpeningRequest.TYPE]
    body = OpeningRequest.parse(asked)
    by_point = {point: owed.holders[point].shares[body.deal] for point in (1, 2)}
    judged = {
        point: Judged(owed.request, body, owed.holders.policy, ground, Taken(shares, deal), shapes_of(ground))
        for point, (deal, shares) in by_point.items()
    }
    if outcome == "covered":
        return closing.covered(judged[1])
    z = np.array(encode(Portfolio.parse(example("portfolio")), world.terms.universe, world.columns), dtype=np.int64)
    chosen = []
    for kind in KINDS:
        shape = shape_of(ground.exact[kind])
        assert isinstance(shape, Tail)
        worst = worst_moves(ground.exact[kind], shape, z)
        chosen.append((*sorted(worst[: shape.whole]), *worst[shape.whole :]))
    found = Found(True, *(int(ground.exact[kind].margin_rows[0]) for kind in KINDS), *chosen)
    sent = {point: closing.own_shares(one, closing.rows_of(one, found)) for point, one in judged.items()}
    return closing.prove(judged[1], found, closing.open_both(judged[1], found, sent, load_group()), load_group())


@pytest.mark.parametrize(("outcome", "number"), [("covered", 1), ("breach", 2)])
def test_the_agent_that_comes_back_follows_what_was_found(
    with_slack: Rooms, tmp_path: Path, later: Later, outcome: str, number: int
) -> None:
    custody = with_slack.open("dealt", tmp_path / "custody", True)
    owed = Owed(custody, later, number).asked()
    owed.in_session(1, 2, 5)
    finding = finding_of(owed, outcome)
    for point in (1, 2):
        assert owed.holders[point].bring(finding).status_code == 201
    assert owed.world.run(owed.run_id).state is (RunState.COVERED if outcome == "covered" else RunState.SETTLED)
    owed.custody.resident.agent.answer_due()
    assert in_step(owed.custody.resident)
    assert owed.custody.resident.agent.contradiction is None
    custody.close()


def test_slack_of_another_shape_is_not_asked_for(
    with_slack: Rooms, tmp_path: Path, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = with_slack.open("dealt", tmp_path / "custody", False)
    owed = Owed(custody, later, 1)

    def unknown(exact: object) -> None:
        raise SlackNeedsSolver("its books stay frozen")

    with monkeypatch.context() as patched:
        patched.setattr(operators, "shape_of", unknown)
        refused = owed.ask()
    assert refused.status_code == 422
    assert refused.json()["detail"] == f"the book of run {FUND}.1 cannot be opened: its books stay frozen"
    assert owed.ask().status_code == 201
    custody.close()
