"""Losses that the agent settles, in rounds against a real operator in one process."""

import pytest

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.protocol.agent_messages import LossesSettled

from .documents import FUND, example
from .resident import Resident
from .rounds import in_step, lose, mend
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents

PAID = 1_000_000_000  # of USDC, worth 999.9 USD at tick 1


def answered(resident: Resident) -> None:
    resident.world.play(1)
    assert len(resident.agent.answer_due()) == 1


def test_an_agent_pays_what_collateral_is_worth_and_says_the_cash_that_is_left(proving: Resident) -> None:
    answered(proving)
    told = proving.agent.settle("USDC", PAID)
    assert told == LossesSettled(submission_sequence=2, usd="999", cash="999")
    assert proving.world.held(ledger.SETTLED) == {"USDC": PAID}
    _, own = proving.submissions
    assert own.portfolio == {**Portfolio.parse(example("portfolio")).canonical(), "cash": "999"}  # type: ignore[dict-item]
    assert in_step(proving)
    # It is settled once more by as much as is said, from the book as it is now.
    told = proving.agent.settle("USDC", PAID, 500)
    assert told == LossesSettled(submission_sequence=3, usd="500", cash="1499")
    assert proving.state.public.posted["USDC"] == int(example("collateral")["posted"]["USDC"]) - 2 * PAID
    # The next run is on it, and answered.
    proving.world.play(2)
    assert len(proving.agent.answer_due()) == 1
    assert in_step(proving)


@pytest.mark.parametrize(
    ("asset", "quantity", "usd", "match"),
    [
        ("USDC", PAID, 1000, "are worth 999 USD at the newest tick: settle 1 to as many"),
        ("USDC", 1, None, "are worth 0 USD"),
        ("USDC", 10**15, None, "units of USDC are posted"),
        ("MOON", 1, None, "0 units of MOON are posted"),
    ],
)
def test_what_cannot_be_settled_is_not_sent(
    resident: Resident, asset: str, quantity: int, usd: int | None, match: str
) -> None:
    answered(resident)
    with pytest.raises(AgentRefused, match=match):
        resident.agent.settle(asset, quantity, usd)
    assert resident.line.sent("/submissions") == []
    assert len(resident.submissions) == 1


def test_nothing_is_settled_before_there_are_prices_or_while_a_run_is_open(resident: Resident) -> None:
    with pytest.raises(AgentRefused, match="no prices yet"):
        resident.agent.settle("USDC", PAID)
    resident.world.play(1)
    with pytest.raises(AgentRefused, match="a run is open or a book waits"):
        resident.agent.settle("USDC", PAID)


def test_what_is_refused_is_not_settled_later_at_other_prices(resident: Resident) -> None:
    """A tick comes between: what is paid was worth something else at it, so nothing is tried by itself."""
    answered(resident)
    lose(resident, "/submissions", "request")
    with pytest.raises(RemoteError, match="does not answer"):
        resident.agent.settle("USDC", PAID)
    with pytest.raises(RemoteError, match="does not answer"):
        resident.agent.settle("USDC", PAID)
    mend(resident)
    resident.world.play(2)
    for _ in range(3):
        resident.agent.answer_due()
    assert resident.world.held(ledger.SETTLED) == {}
    *_, own = resident.submissions
    assert (own.sequence, own.entry) == (2, None)
    assert (own.superseded or "").startswith("its losses are not settled: ")
    assert resident.agent._outbox.outstanding() == []
    told = resident.agent.settle("USDC", PAID)
    assert (told.submission_sequence, resident.world.held(ledger.SETTLED)) == (2, {"USDC": PAID})
    assert in_step(resident)


def test_a_reply_that_is_lost_settles_once(resident: Resident) -> None:
    answered(resident)
    lose(resident, "/submissions", "reply")
    with pytest.raises(RemoteError, match="does not answer"):
        resident.agent.settle("USDC", PAID)
    mend(resident)
    resident.restarted().answer_due()
    assert resident.world.held(ledger.SETTLED) == {"USDC": PAID}
    assert in_step(resident)
    assert resident.state.public.submissions == 2
    assert resident.name == FUND
