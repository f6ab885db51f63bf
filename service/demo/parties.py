"""The parties of the demo: operator, institution, price sources, witness and verifier, each reached as outsiders do."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from atomic_margin.circuits.profile import DEFAULT
from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Institution
from atomic_margin.service.demo.history import witness
from atomic_margin.service.demo.processes import Http, command, free_port, running
from atomic_margin.service.errors import ConfigurationError, RemoteError
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.files import read_json, write_json
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.protocol.agent_messages import AgentStatus, DecidedRuns, Instruction, RunFigures
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.messages import (
    AccountStanding,
    Admission,
    Booked,
    Deposit,
    Health,
    LastTick,
    OperatorView,
    TickAccepted,
)
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.ticks import Place, PriceTick, place_after

JsonObject = dict[str, Any]

NAME = "larkfield"

SPREADS = (Decimal("-0.0001"), Decimal(0), Decimal("0.0001"))
"""By how much the spots of the three sources differ from the example's, relatively; the median is the example's."""


@dataclass
class Parties:
    """Running operator and agent, the sources' keys, the price rules, and where the files are."""

    operator: Http
    agent: Http
    sources: tuple[Identity, ...]
    rules: PriceRules
    examples: Path
    trust: Path

    def send_tick(self, market: Path) -> str:
        """Sign a market file as every source, send the prices, and return the run they schedule."""
        newest = self.operator.read("/v1/ticks", LastTick)
        last = None if newest.document is None else parse_signed(newest.document, PriceTick)[1]
        prices = signed_prices(self.sources, read_json(market), place_after(last, self.rules))
        return TickAccepted.parse(self.operator.post("/v1/ticks", prices)).runs[0]

    def post_collateral(self) -> None:
        """As the back office, post what examples/collateral.json has posted."""
        holdings = CollateralHoldings.parse(read_json(self.examples / "collateral.json"))
        for asset, quantity in holdings.posted.items():
            self.agent.send("/v1/collateral", Instruction(action="post", asset=asset, quantity=str(quantity)), Booked)

    def submit(self) -> None:
        """As the back office, hand the portfolio to the agent."""
        self.agent.post("/v1/portfolio", read_json(self.examples / "portfolio.json"))

    def figures(self, run_id: str) -> RunFigures:
        """Ask the agent for its private figures of a run."""
        return next(run for run in self.agent.read("/v1/runs", DecidedRuns).runs if run.run_id == run_id)


@contextmanager
def parties(
    examples: Path, data: Path, logs: Path, trust: Path, watch: Callable[[str], None], profile: str = DEFAULT.name
) -> Iterator[Parties]:
    """Start witness, operator and institution, introduce them to each other, and stop them at the end.

    Args:
        examples: folder with the example documents.
        data: private folders of both parties are made here.
        logs: their output goes here.
        trust: where the trust file is written.
        watch: told what is going on.
        profile: name of the FHE profile.

    Raises:
        RemoteError: a process does not come up.
        ConfigurationError: the examples are not there.
    """
    if not (examples / "portfolio.json").exists():
        raise ConfigurationError(f"no example documents in {examples}; give their folder with --examples")
    sources = tuple(Identity.generate() for _ in SPREADS)
    documents = {"model": "model-scan.json", "universe": "universe.json", "schedule": "collateral-schedule.json"}
    files = [part for name, file in documents.items() for part in (f"--{name}", str(examples / file))]
    keys = [part for source in sources for part in ("--source", source.public_key)]
    rules = data / "price-rules.json"
    write_json(rules, json.loads(_run("feed", "rules", *keys, "--required", str(len(sources) // 2 + 1))))
    files += ["--price-rules", str(rules)]
    account = Institution.parse(read_json(examples / "institution.json"))
    holdings = CollateralHoldings.parse(read_json(examples / "collateral.json"))

    operator_url, operator_log = f"http://127.0.0.1:{free_port()}", logs / "operator.log"
    with ExitStack() as stack:
        watch("starting a witness and the operator, which compiles the circuits the first time")
        history = stack.enter_context(witness(data / "operator", data / "witness", logs / "witness.log"))
        serve = command(
            "serve", "--dir", str(data / "operator"), *files, *history.serve_options,
            "--port", operator_url.rpartition(":")[2], "--profile", profile,
        )  # fmt: skip
        operator_process = stack.enter_context(running(serve, operator_log))
        with Http(operator_url, operator_process, operator_log) as public:
            # A machine that has not compiled the profile yet does so first.
            public.wait("/healthz", Health, lambda _: True, 600, lambda _: None)
        token = (data / "operator" / "admin.token").read_text().strip()
        operator = stack.enter_context(Http(operator_url, operator_process, operator_log, token))

        watch("admitting the institution")
        identity = json.loads(_run("institution", "init", "--dir", str(data / "institution")))["identity"]
        admission = Admission(institution=NAME, name=account.name, identity=identity)
        operator.send("/v1/admissions", admission, AccountStanding)
        arrived = {
            asset: holdings.posted.get(asset, 0) + holdings.free.get(asset, 0)
            for asset in sorted({*holdings.posted, *holdings.free})
        }
        for asset, quantity in arrived.items():
            arrival = Deposit(institution=NAME, asset=asset, quantity=str(quantity), reference=f"custodian-{asset}")
            operator.send("/v1/deposits", arrival, Booked)
        published = operator.read("/v1/operator", OperatorView)
        trusted = [
            "trust", "--operator", published.operator, "--institution", f"{NAME}={identity}", *files,
            "--profile", profile, *history.trust_options,
        ]  # fmt: skip
        write_json(trust, json.loads(_run(*trusted)))

        watch("starting the institution")
        columns = examples / "columns.json"
        chosen = ("--columns", str(columns)) if columns.exists() else ()
        agent_token = load_token(data / "institution" / "agent.token")
        agent_url, agent_log = f"http://127.0.0.1:{free_port()}", logs / "institution.log"
        agent_command = command(
            "institution", "serve", "--dir", str(data / "institution"), "--name", NAME, "--operator", operator_url,
            "--trust", str(trust), "--gross-limit", str(account.gross_limit), *chosen,
            "--port", agent_url.rpartition(":")[2],
            # The examples are a history of one day that is played back.
            "--max-tick-age", "unbounded",
        )  # fmt: skip
        agent_process = stack.enter_context(running(agent_command, agent_log))
        agent = stack.enter_context(Http(agent_url, agent_process, agent_log, agent_token))
        enrolled = agent.wait(
            "/v1/status", AgentStatus, lambda status: status.enrolled, 300, lambda status: _watch(status, watch)
        )
        commitments = enrolled.key_commitments
        write_json(trust, json.loads(_run(*trusted, "--keys", f"{NAME}={commitments}")))
        yield Parties(operator, agent, sources, PriceRules.parse(read_json(rules)), examples, trust)


def signed_prices(sources: tuple[Identity, ...], market: JsonObject, place: Place) -> JsonObject:
    """Return what makes a tick of a market: every source's signed prices, its spots a little apart from the others'."""
    documents = []
    for source, spread in zip(sources, SPREADS, strict=True):
        quotes = {
            name: {**quoted, "spot": format(Decimal(quoted["spot"]) * (1 + spread), "f")}
            for name, quoted in market["underlyings"].items()
        }
        documents.append(sign_market(source, Market.parse({**market, "underlyings": quotes}), place))
    prices = price_set(documents, place.sequence).canonical()
    if not isinstance(prices, dict):
        raise TypeError("a set of prices is a JSON object")
    return dict(prices)


def verify_apart(bundle: Path, trust: Path) -> JsonObject:
    """Verify a bundle in a process of its own that is given these two files and an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = command("verify", str(bundle.resolve()), "--trust", str(trust.resolve()), "--json")
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own command
    result = json.loads(done.stdout) if done.stdout else {"valid": False, "reason": done.stderr.strip()}
    return {**result, "exit_status": done.returncode}


def _watch(status: AgentStatus, watch: Callable[[str], None]) -> None:
    # The agent tries again whatever happens; a demo has nothing to wait for.
    if status.problem is not None:
        raise RemoteError(f"the agent cannot go on: {status.problem}")
    watch(status.stage)


def _run(*arguments: str) -> str:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own command
    if done.returncode:
        raise ConfigurationError(f"atomic-margin {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout
