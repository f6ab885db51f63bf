"""The parties of the demo: operator, institution, price sources, witness and verifier, each reached as outsiders do."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Institution
from atomic_margin.service.demo.history import witness
from atomic_margin.service.demo.processes import Http, command, free_port, printed, running
from atomic_margin.service.demo.story import Staging
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.files import read_json, write_json
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.protocol.agent_messages import (
    AgentStatus,
    DecidedRuns,
    Excess,
    Instruction,
    Released,
    ReleaseWanted,
    RunFigures,
    Submitted,
)
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.messages import (
    AccountStanding,
    AccountView,
    Admission,
    Booked,
    Deposit,
    Health,
    LastTick,
    ListedUniverse,
    OperatorView,
    TickAccepted,
    UniverseListed,
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
    """Running operator and agent, the sources' keys, the price rules, the story, and where the trust file is.

    `directory` is the operator's folder, for what its own people do; `silence` ends the institution's agent.
    """

    directory: Path
    operator: Http
    agent: Http
    sources: tuple[Identity, ...]
    rules: PriceRules
    staging: Staging
    trust: Path
    silence: Callable[[], None]

    def send_tick(self, market: Path) -> str:
        """Sign a market file as every source, send the prices, and return the run they schedule."""
        newest = self.operator.read("/v1/ticks", LastTick)
        last = None if newest.document is None else parse_signed(newest.document, PriceTick)[1]
        prices = signed_prices(self.sources, read_json(market), place_after(last, self.rules))
        return TickAccepted.parse(self.operator.post("/v1/ticks", prices)).runs[0]

    def post_collateral(self) -> None:
        """As the back office, post what the story's collateral has posted."""
        holdings = CollateralHoldings.parse(read_json(self.staging.path(self.staging.story.collateral)))
        for asset, quantity in holdings.posted.items():
            self.agent.send("/v1/collateral", Instruction(action="post", asset=asset, quantity=str(quantity)), Booked)

    def have_back(self, quantities: Mapping[str, int]) -> tuple[Excess, Released]:
        """As the back office, see what is posted beyond initial margin, have collateral back, and withdraw it."""
        shown = self.agent.read("/v1/excess", Excess)
        wanted = {asset: str(quantity) for asset, quantity in quantities.items()}
        released = self.agent.send("/v1/releases", ReleaseWanted(taken=wanted), Released)
        for asset, quantity in wanted.items():
            self.agent.send("/v1/collateral", Instruction(action="withdraw", asset=asset, quantity=quantity), Booked)
        return shown, released

    def submit(self, book: str) -> int:
        """As the back office, hand a portfolio or trades to the agent; return the number of the submission."""
        sent = self.agent.post("/v1/portfolio", read_json(self.staging.path(book)))
        return int(Submitted.parse(sent).submission_sequence)

    def revise(self, universe: str, until: str) -> None:
        """As the operator, announce a revision, and wait until the agent has carried the book over."""
        before = self.operator.read(f"/v1/institutions/{NAME}", AccountView).next_submission
        document = read_json(self.staging.path(universe))
        self.operator.send("/v1/universes", ListedUniverse(universe=document, until=until), UniverseListed)
        self.operator.wait(
            f"/v1/institutions/{NAME}", AccountView, lambda seen: seen.next_submission > before, 120, lambda _: None
        )

    def figures(self, run_id: str) -> RunFigures:
        """Ask the agent for its private figures of a run."""
        return next(run for run in self.agent.read("/v1/runs", DecidedRuns).runs if run.run_id == run_id)


@contextmanager
def parties(
    staging: Staging,
    data: Path,
    logs: Path,
    trust: Path,
    watch: Callable[[str], None],
    profile: str | None = None,
    *,
    serve_options: Sequence[str] = (),
    deposited: bool = True,
    custody: Path | None = None,
) -> Iterator[Parties]:
    """Start witness, operator and institution, introduce them to each other, and stop them at the end.

    Args:
        staging: the story, with the folder of its documents.
        data: private folders of both parties are made here.
        logs: their output goes here.
        trust: where the trust file is written.
        watch: told what is going on.
        profile: name of the FHE profile; None for the story's own.
        serve_options: what the operator's server is started with besides.
        deposited: whether the operator books the story's collateral as deposited; else it arrives another way.
        custody: policy that names the account's custodians, where it has some.

    Raises:
        RemoteError: a process does not come up.
        ConfigurationError: a document is not there.
    """
    story, profile = staging.story, profile or staging.story.profile
    sources = tuple(Identity.generate() for _ in SPREADS)
    documents = {"model": story.model, "universe": story.universe, "schedule": story.schedule}
    files = [part for name, file in documents.items() for part in (f"--{name}", str(staging.path(file)))]
    keys = [part for source in sources for part in ("--source", source.public_key)]
    rules = data / "price-rules.json"
    write_json(
        rules,
        json.loads(printed("feed", "rules", *keys, "--required", str(len(sources) // 2 + 1), "--max-age", "unbounded")),
    )
    files += ["--price-rules", str(rules)]
    account = Institution.parse(read_json(staging.path(story.institution)))
    holdings = CollateralHoldings.parse(read_json(staging.path(story.collateral)))

    operator_url, operator_log = f"http://127.0.0.1:{free_port()}", logs / "operator.log"
    with ExitStack() as stack:
        watch("starting a witness and the operator, which compiles the circuits the first time")
        history = stack.enter_context(witness(data / "operator", data / "witness", logs / "witness.log"))
        serve = command(
            "serve", "--dir", str(data / "operator"), *files, *history.serve_options, *serve_options,
            "--port", operator_url.rpartition(":")[2], "--profile", profile,
        )  # fmt: skip
        operator_process = stack.enter_context(running(serve, operator_log))
        with Http(operator_url, operator_process, operator_log) as public:
            # A machine that has not compiled the profile yet does so first.
            public.wait("/healthz", Health, lambda _: True, 600, lambda _: None)
        token = (data / "operator" / "admin.token").read_text().strip()
        operator = stack.enter_context(Http(operator_url, operator_process, operator_log, token))

        watch("admitting the institution")
        identity = json.loads(printed("institution", "init", "--dir", str(data / "institution")))["identity"]
        admission = Admission(
            institution=NAME,
            name=account.name,
            identity=identity,
            custody=None if custody is None else read_json(custody),
        )
        operator.send("/v1/admissions", admission, AccountStanding)
        arrived = {
            asset: holdings.posted.get(asset, 0) + holdings.free.get(asset, 0)
            for asset in sorted({*holdings.posted, *holdings.free})
        }
        for asset, quantity in arrived.items() if deposited else ():
            arrival = Deposit(institution=NAME, asset=asset, quantity=str(quantity), reference=f"custodian-{asset}")
            operator.send("/v1/deposits", arrival, Booked)
        published = operator.read("/v1/operator", OperatorView)
        trusted = [
            "trust", "--operator", published.operator, "--institution", f"{NAME}={identity}", *files,
            "--profile", profile, *history.trust_options,
            *(() if custody is None else ("--custody", f"{NAME}={custody}")),
        ]  # fmt: skip
        write_json(trust, json.loads(printed(*trusted)))

        watch("starting the institution")
        chosen = () if story.columns is None else ("--columns", str(staging.path(story.columns)))
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
        write_json(trust, json.loads(printed(*trusted, "--keys", f"{NAME}={commitments}")))
        read = PriceRules.parse(read_json(rules))
        yield Parties(data / "operator", operator, agent, sources, read, staging, trust, agent_process.kill)


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
