"""A real listing end to end: 1,202 instruments on two underlyings, in a profile of 4,096 entries.

Operator, agent and verifier are the real programs, over HTTP, with real ciphertexts and proofs. The account chooses one
entry of ten bits a side for options, so that its 2,412 columns fit.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.bench.service.listing import GROSS_LIMIT, Listing, cash_schedule, scan_model
from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.service.demo.parties import NAME, signed_prices, verify_apart
from atomic_margin.service.demo.processes import Http, command, free_port, running
from atomic_margin.service.files import write_json
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.protocol.agent_messages import AgentStatus, Instruction
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.messages import (
    AccountStanding,
    AccountView,
    Admission,
    Booked,
    Deposit,
    Health,
    LastTick,
    OperatorView,
    RunView,
    TickAccepted,
)
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import OVER, AccountState, RunState
from atomic_margin.service.protocol.ticks import PriceTick, place_after

from .. import postgres
from ..service.documents import price_rules

pytestmark = [pytest.mark.fhe, pytest.mark.slow, pytest.mark.timeout(7200)]

PROFILE = profile_by_name("4096x24x24")
LISTING = Listing.of_strikes(30)
COLUMNS = {"tiers": {"option": [["1", "10"]]}}
# Enough at the first prices, and too little after a fall by a fifth.
POSTED, ARRIVED = 125_000 * 10**6, 1_000_000 * 10**6
PATIENCE = 1800.0


def said_by(*arguments: str) -> Any:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class Exchange:
    """Running operator and agent, and who signs prices."""

    operator: Http
    agent: Http
    sources: tuple[Identity, ...]
    rules: PriceRules
    trust: Path

    def run_at(self, sequence: int, spot_move: str) -> RunView:
        """Publish a tick and wait until its run is over."""
        market = LISTING.market(sequence, spot_move) | {"as_of": f"2027-01-04T08:0{sequence}:00Z"}
        newest = self.operator.read("/v1/ticks", LastTick).document
        place = place_after(None if newest is None else parse_signed(newest, PriceTick)[1], self.rules)
        sent = self.operator.post("/v1/ticks", signed_prices(self.sources, market, place))
        run_id = TickAccepted.parse(sent).runs[0]
        return self.operator.wait(
            f"/v1/runs/{run_id}", RunView, lambda run: run.state in OVER, PATIENCE, lambda _: None
        )

    def verdict(self, run: RunView, folder: Path) -> Any:
        """What a verifier in another process says of a run's bundle."""
        bundle = folder / f"{run.run_id}.json"
        write_json(bundle, self.operator.get(f"/v1/attestations/{run.run_id}"))
        return verify_apart(bundle, self.trust)


@contextmanager
def exchange(root: Path) -> Iterator[Exchange]:
    """Start operator and institution, admit and enrol it, and let its collateral arrive."""
    sources = tuple(Identity.generate() for _ in range(3))
    rules = price_rules(*sources)
    documents = {
        "price-rules": rules.canonical(),
        "model": scan_model(PROFILE.rows),
        "universe": LISTING.universe(),
        "schedule": cash_schedule(),
        "columns": COLUMNS,
    }
    for name, document in documents.items():
        write_json(root / f"{name}.json", document)
    named = ("price-rules", "model", "universe", "schedule")
    terms = [part for name in named for part in (f"--{name}", str(root / f"{name}.json"))]
    terms += ["--profile", PROFILE.name]
    url, agent_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    log, agent_log, trust = root / "operator.log", root / "agent.log", root / "trust.json"
    port = ("--port", url.rpartition(":")[2])
    with ExitStack() as stack:
        stack.enter_context(postgres.operator_s_database(root / "operator"))
        serve = command("serve", "--dir", str(root / "operator"), *terms, *port)
        process = stack.enter_context(running(serve, log))
        with Http(url, process, log) as public:
            public.wait("/healthz", Health, lambda _: True, PATIENCE, lambda _: None)
        token = (root / "operator" / "admin.token").read_text().strip()
        operator = stack.enter_context(Http(url, process, log, token))
        identity = said_by("institution", "init", "--dir", str(root / "institution"))["identity"]
        operator.send("/v1/admissions", Admission(institution=NAME, name="Fund", identity=identity), AccountStanding)
        arrival = Deposit(institution=NAME, asset="USDC", quantity=str(ARRIVED), reference="custodian")
        operator.send("/v1/deposits", arrival, Booked)
        key = operator.read("/v1/operator", OperatorView).operator
        trusted = ("trust", "--operator", key, "--institution", f"{NAME}={identity}", *terms)
        write_json(trust, said_by(*trusted))

        arguments = command(
            "institution", "serve", "--dir", str(root / "institution"), "--name", NAME, "--operator", url,
            "--trust", str(trust), "--gross-limit", str(GROSS_LIMIT), "--columns", str(root / "columns.json"),
            "--port", agent_url.rpartition(":")[2], "--max-tick-age", "unbounded",
        )  # fmt: skip
        agent_process = stack.enter_context(running(arguments, agent_log))
        agent_token = load_token(root / "institution" / "agent.token")
        agent = stack.enter_context(Http(agent_url, agent_process, agent_log, agent_token))
        enrolled = agent.wait("/v1/status", AgentStatus, lambda status: status.enrolled, PATIENCE, lambda _: None)
        write_json(trust, said_by(*trusted, "--keys", f"{NAME}={enrolled.key_commitments}"))
        yield Exchange(operator, agent, sources, rules, trust)


def test_a_listing_of_an_exchange_is_submitted_called_and_verified(tmp_path: Path) -> None:
    assert LISTING.instruments == 1202
    with exchange(tmp_path) as running_exchange:
        operator, agent = running_exchange.operator, running_exchange.agent
        agent.send("/v1/collateral", Instruction(action="post", asset="USDC", quantity=str(POSTED)), Booked)
        agent.post("/v1/portfolio", LISTING.portfolio())
        calm = running_exchange.run_at(1, "0")
        fall = running_exchange.run_at(2, "-0.2")
        account = operator.read(f"/v1/institutions/{NAME}", AccountView)
        assert (calm.state, calm.settlement) == (RunState.COVERED, None)
        assert fall.state is RunState.SETTLED
        assert fall.settlement is not None
        assert fall.settlement["body"]["kind"] == "margin_call"
        assert account.state is AccountState.ACTIVE
        assert account.collateral.posted["USDC"] > POSTED
        assert account.collateral.posted["USDC"] + account.collateral.free["USDC"] == ARRIVED
        for run in (calm, fall):
            assert run.record is not None
            assert run.record["body"]["columns"] == COLUMNS
            verdict = running_exchange.verdict(run, tmp_path)
            assert (verdict["valid"], verdict["exit_status"]) == (True, 0), verdict
