"""Netting from the institution's side: its own agent, operator, witness and log, and what a cheating operator does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import AgentRefused, AttestationInvalid
from atomic_margin.service.files import write_json
from atomic_margin.service.institution import cycles, obligations
from atomic_margin.service.log.netted import CycleTree
from atomic_margin.service.operator.accounts import netting
from atomic_margin.service.operator.store import entries, log
from atomic_margin.service.operator.store.tables import Account
from atomic_margin.service.protocol.account.errors import EntryIllegal
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.agent_messages import Promise
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.errors import Contradiction
from atomic_margin.service.verifier.monitor import Monitor, Seen
from atomic_margin.service.verifier.netting import verify_netting

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

    def promise(self, quantity: int = 300) -> str:
        asked = {"direction": "delivery", "asset": "USDC", "quantity": str(quantity), "settles": day()}
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


def test_an_agent_finds_its_cycle_in_the_log_and_hands_on_what_shows_it(sides: Sides, tmp_path: Path) -> None:
    sides.promise(300)
    sides.promise(50)
    sides.promise_west()
    sides.round()
    sides.net()
    sides.agent.answer_due()
    # It is followed at once, and looked for in the log until a witness cosigned that.
    assert sides.agent._store.note(cycles.CHECKED) is None
    sides.round()
    assert sides.agent._store.note(cycles.CHECKED) == str(sides.agent._party.history._account.number)
    assert sides.agent.contradiction is None
    report = verify_netting(sides.file(), sides.trust)
    (own,) = report.groups
    assert (own.deliveries, own.returns, own.undone, own.group.returns, own.group.arrives) == (350, 0, 0, 200, 150)
    assert report.believed is not None
    assert [cycle.number for cycle in sides.monitored().cycles] == [1]
