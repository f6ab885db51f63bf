"""Two sides of netting: the fund with its agent, log and witness, a second account, and the operator."""

import json
from typing import Any

import pytest

from atomic_margin.service.institution import cycles, obligations
from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.protocol.agent_messages import Promise
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.monitor import Monitor, Seen

from .documents import FUND
from .netting import day
from .test_agent_log import Watched
from .test_agent_log import clock as clock
from .test_agent_log import resident as resident
from .test_agent_log import residents as residents
from .test_agent_log import watched as watched

WEST = "west"


class Sides:
    """The fund, with its agent, and a second account of its party, without one."""

    def __init__(self, watched: Watched, scope: Any = "party") -> None:
        self.watched, self.world, self.scope = watched, watched.resident.world, scope
        self.world.admit(WEST)
        self.world.deposit(WEST, "USDC", 1000, "first-west")
        for name in (FUND, WEST):
            netting.name_party(self.world.operator, name, "lei-one", scope)
        self.agent.history.sync()

    @property
    def agent(self) -> Any:
        return self.watched.agent

    def promise(self, quantity: int = 300, direction: str = "delivery") -> str:
        asked = {"direction": direction, "asset": "USDC", "quantity": str(quantity), "settles": day()}
        with self.agent.signing() as (party, outbox):
            return obligations.promise(party, outbox, Promise.parse({**asked, "party": "lei-one", "scope": self.scope}))

    def promise_west(self, quantity: int = 200) -> None:
        body = {
            "institution": WEST, "operator": self.world.key, "sequence": "1", "entry": self.world.head(WEST),
            "party": "lei-one", "scope": self.scope, "direction": "return", "asset": "USDC",
            "quantity": str(quantity), "settles": day(),
        }  # fmt: skip
        signed = netting.Obligation.parse(body).signed_by(self.world.funds[WEST].identity)
        netting.promise(self.world.operator, WEST, signed.to_json())

    def net(self) -> Any:
        party = "lei-one" if self.scope == "party" else self.world.key
        return netting.net_cycle(self.world.operator, day(), [(self.scope, party, "USDC", day())])

    def net_without_arrivals(self) -> Any:
        return netting.net_cycle(self.world.operator, day())

    def round(self) -> None:
        self.watched.publish()
        self.agent.answer_due()

    def file(self, cycle: int = 1) -> Any:
        with self.agent.signing() as (party, _):
            return json.loads(json.dumps(cycles.file_of(party, cycle)))

    @property
    def trust(self) -> TrustFile:
        found: TrustFile = self.agent.settings.trust
        return found

    def kept(self, pattern: str) -> Any:
        (place,) = (self.watched.resident.folder / "contradictions").glob(pattern)
        return json.loads(place.read_text())

    def monitored(self) -> Seen:
        monitor = Monitor(
            self.world.operator.log_key, self.world.key, self.trust.prices,
            self.agent._party.watch._monitor.policy, self.agent._client.public,
        )  # fmt: skip
        return monitor.look(Seen(), int(self.agent.settings.clock().timestamp())).seen


@pytest.fixture
def sides(watched: Watched) -> Sides:
    return Sides(watched)
