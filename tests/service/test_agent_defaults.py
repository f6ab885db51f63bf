"""An agent follows its default and its share in the fund, and keeps what its operator signed that does not follow."""

from pathlib import Path

import pytest

from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution import agreements
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.app import AgentProcess
from atomic_margin.service.institution.app import create_app as create_agent
from atomic_margin.service.institution.history import History
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.universes import Universes
from atomic_margin.service.operator.accounts import defaults
from atomic_margin.service.protocol.account.entries import extended
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import AccountState
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.waterfall import least_proceeds, value_usd

from .account import in_default
from .account.documents import INSTITUTION, LOG, TIME
from .bodies import TRUST
from .documents import FUND
from .resident import Resident
from .rounds import in_step
from .rounds import resident as resident
from .rounds import residents as residents
from .test_agent_events import moves_of
from .told import MARKET, TERMS, Pair, Told
from .waterfalls import BILL, RULES, RULES_JSON, USDC, with_rules
from .world import TestClient, World


def agree_loss(agent: Agent, loss: int, reason: str) -> str:
    with agent.signing() as (party, outbox):
        return agreements.agree(party, outbox, loss, reason)


class Pinned(Told):
    """An agent whose trust file pins waterfall rules, or none."""

    pinned: str | None = RULES.hash()

    def started(self) -> History:
        super().started()  # it makes the chain of ticks
        trust = TrustFile.parse({**TRUST, "operator": self.operator.public_key, "waterfall": self.pinned})
        settings = AgentSettings(self.folder, INSTITUTION, "", trust, 100, None)
        universes = Universes(self.folder, TERMS, lambda hash_: None)
        identity = self.institution.public_key
        return History(settings, TERMS, identity, self.store, self.ticks, self.fetch, universes)  # type: ignore[arg-type]

    def booked(self) -> None:
        super().booked()
        self.enter(self.deposit(1_000_000, BILL))

    def liquidated(self) -> "Pinned":
        wanted = self.breached("5000000")
        self.enter(self.settlement(moves_of(wanted), top_up_usd="5000000"))
        return self

    def sale(self, quantity: int = 1_000, short: int = 0, **changes: object) -> SignedDocument:
        limit = least_proceeds(RULES, TERMS.schedule, MARKET, BILL, quantity)
        said = {
            "rules": RULES_JSON,
            "asset": BILL,
            "limit": str(limit),
            "proceeds_usd": value_usd(RULES, TERMS.schedule, MARKET, limit - short),
        }
        return in_default.sale(self, quantity, limit - short, **said | changes)


def forced(told: Told, document: SignedDocument) -> Pair:
    """The entry of an operator whose machine takes the document: the hashes are those of the state that follows."""
    chain, entry = extended(told.chain, document, told.at, told.salts, LOG, told.operator, TIME)
    assert chain.state is not None
    return entry, document


@pytest.fixture
def told(tmp_path: Path) -> Pinned:
    return Pinned(tmp_path)


def test_a_rightful_default_is_followed_to_its_end(told: Pinned) -> None:
    told.liquidated().enter(told.sale())
    told.enter(told.deposit(7))
    told.enter(in_default.segregation(told))
    told.enter(in_default.loss_agreement(told, 5, rules=RULES.hash()))
    default = in_default.default_of(told)
    body = in_default.close_out_body(default.settlement, default.agreement, 5, dict(default.held))
    told.enter(in_default.close_out(told, rules=RULES_JSON, lines=lines_under_these_rules(body)))
    told.history.sync()
    assert told.history.state == told.state
    assert told.state.public.status is AccountState.CLOSED
    assert told.evidence == []


def lines_under_these_rules(body: dict[str, object]) -> list[object]:
    lines = list(body["lines"])  # type: ignore[call-overload]
    return [line | ({"available": str(RULES.capital)} if line["layer"] == "capital" else {}) for line in lines]


def test_a_sale_under_the_limit_of_its_tick_is_kept_as_evidence(told: Pinned) -> None:
    """The operator says another limit than its rules give, which the machine cannot know."""
    told.liquidated()
    low = told.sale(short=1, limit="1")
    told.refuses(EntryIllegal, "stage 1 of the liquidation: the limit is", forced(told, low))
    (kept,) = told.evidence
    assert kept["document"]["type"] == "sale"


def test_a_sale_whose_value_is_played_down_is_refused(told: Pinned) -> None:
    told.liquidated()
    told.refuses(EntryIllegal, "is worth", forced(told, told.sale(proceeds_usd="0.01")))


def test_another_waterfall_than_the_pinned_one_is_refused(told: Pinned) -> None:
    told.liquidated()
    other = RULES_JSON | {"version": "2", "discounts": {BILL: "0.9"}}
    told.refuses(EntryIllegal, "and .* are pinned", forced(told, told.sale(rules=other)))


def test_who_pins_no_rules_is_told_what_to_do(told: Pinned) -> None:
    told.pinned = None
    told.history = told.started()
    told.booked()
    document = in_default.contributed(told, 5, rules=RULES_JSON)
    told.refuses(EntryIllegal, "pin them as `waterfall`", forced(told, document))


def test_a_share_in_the_fund_and_its_line_are_followed(told: Pinned) -> None:
    told.booked()
    told.enter(in_default.contributed(told, 200, rules=RULES_JSON))
    told.history.sync()
    assert told.history.state == told.state
    told.refuses(EntryIllegal, "no legal event", told.forced(in_default.draw(told)))
    assert told.evidence[0]["document"]["type"] == "fund-draw"


# With the real agent


@pytest.fixture
def fallen(resident: Resident) -> Resident:
    """The account is in default; both sides have the same rules."""
    world = resident.world
    with_rules(world)
    world.trust = lambda: World.trust(world) | {"waterfall": RULES.hash()}  # type: ignore[method-assign]
    world.play(4)
    resident.agent.answer_due()
    assert resident.state.public.status is AccountState.IN_DEFAULT
    return resident


def test_an_institution_signs_a_loss_and_withdraws_what_is_left(fallen: Resident) -> None:
    process = AgentProcess(lambda stage: fallen.agent)
    process._opened = fallen.agent
    client = TestClient(create_agent(process, "token"), headers={"Authorization": "Bearer token"})
    assert client.post("/v1/loss", json={"loss": "-1", "reason": "x"}).status_code == 422
    signed = client.post("/v1/loss", json={"loss": str(5 * USDC), "reason": "closed at auction"})
    assert signed.status_code == 201, signed.json()
    assert len(fallen.line.sent("/loss")) == 1
    operator = fallen.world.operator
    # It is not sent again by itself, and the account stays as it is.
    assert fallen.agent.answer_due() == []
    defaults.agree(operator, FUND, signed.json()["agreement"])
    defaults.close_out(operator, FUND)
    assert fallen.agent.answer_due() == []
    assert in_step(fallen)
    left = dict(fallen.state.private.free)
    assert left
    for asset, quantity in left.items():
        fallen.agent.instruct("withdraw", asset, quantity)
    assert (in_step(fallen), fallen.state.private.free, fallen.agent.contradiction) == (True, {}, None)
    with pytest.raises(AgentRefused, match="not in default"):
        agree_loss(fallen.agent, 5, "again")


def test_nothing_is_signed_for_other_rules_and_a_loss_may_be_signed_anew(fallen: Resident) -> None:
    other = RULES.model_copy(update={"version": 7})
    with_rules(fallen.world, other)
    with pytest.raises(AgentRefused, match="other waterfall rules than are pinned"):
        agree_loss(fallen.agent, 5, "x")
    with_rules(fallen.world)
    operator = fallen.world.operator
    first = agree_loss(fallen.agent, 5, "x")
    defaults.agree(operator, FUND, first)
    fallen.agent.answer_due()
    # It names the one before, and the operator agrees to this one too.
    defaults.agree(operator, FUND, agree_loss(fallen.agent, 6, "less was bid"))
    fallen.agent.answer_due()
    default = fallen.state.public.default
    assert default is not None
    assert (default.loss, in_step(fallen), fallen.agent.contradiction) == (6, True, None)
    entries = len(fallen.world.entries(FUND))
    defaults.agree(operator, FUND, first)
    assert len(fallen.world.entries(FUND)) == entries
