"""Start, kill and restart the real operator and the real agent on copies of an enrolled state.

Enrolment is done once per test run; each test copies both data folders and starts its own processes on them.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from atomic_margin.service.demo.history import ORIGIN
from atomic_margin.service.demo.parties import NAME, signed_prices
from atomic_margin.service.demo.processes import Http, free_port
from atomic_margin.service.files import read_json
from atomic_margin.service.http.signatures import RequestSigner
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.settings import AgentSettings, present_time
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.protocol.agent_messages import AgentStatus
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.messages import AccountView, Health, LastTick, LedgerView, RunView, TickAccepted
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import OVER, RunState
from atomic_margin.service.protocol.ticks import Place, PriceTick, place_after
from atomic_margin.service.protocol.trust import TrustFile

from .. import postgres
from .preloaded import Nursery, Process
from .small import GROSS_LIMIT, market

PLAIN = "tests.e2e.plain_server"
"""The operator's program that evaluates in the clear."""


@dataclass
class World:
    """Both parties' folders, the price sources' keys, and the processes that run on them now.

    `program` is what the operator runs: the real one but for shortfalls, unless a test says otherwise. See
    `runs_server`.
    """

    root: Path
    sources: tuple[Identity, ...]
    nursery: Nursery
    program: str = "tests.e2e.runs_server"
    operator_process: Process | None = None
    operator: Http | None = None
    agent: Http | None = None
    agent_process: Process | None = None

    @property
    def examples(self) -> Path:
        return self.root / "examples"

    @property
    def trust(self) -> Path:
        return self.root / "trust.json"

    def auth(self, identity: Identity | None = None) -> RequestSigner:
        """What signs requests to the operator by a key: the institution's, unless another is given."""
        identity = identity or Identity.load_or_create(self.root / "institution" / "identity.key")
        operator = Identity.load_or_create(self.root / "operator" / "operator.key").public_key
        return RequestSigner(identity.public_key, identity.sign_request, operator)

    @property
    def temporary(self) -> Path:
        """The operator's temporary files."""
        return self.root / "temporary"

    @contextmanager
    def serving(
        self,
        *,
        fault: str | None = None,
        answer_seconds: int = 900,
        options: tuple[str, ...] = (),
        port: int | None = None,
    ) -> Iterator[Http]:
        """Run the operator with further options, dying at `fault` if one is named."""
        port = port or free_port()
        documents = {"model": "model-scan.json", "universe": "universe.json", "schedule": "collateral-schedule.json"}
        files = [part for name, file in documents.items() for part in (f"--{name}", str(self.examples / file))]
        arguments = [
            "serve", "--dir", str(self.root / "operator"), "--price-rules", str(self.root / "price-rules.json"), *files,
            "--profile", "tiny", "--port", str(port), "--answer-seconds", str(answer_seconds),
            "--log-origin", ORIGIN, *options,
        ]  # fmt: skip
        arguments += postgres.options(self.root / "operator")
        log = self.root / "operator.log"
        self.temporary.mkdir(exist_ok=True)
        environment = {"ATOMIC_MARGIN_FAULT": fault or "", "TMPDIR": str(self.temporary)}
        with self.nursery.running(self.program, arguments, log, **environment) as process:
            with Http(f"http://127.0.0.1:{port}", process, log) as public:
                public.wait("/healthz", Health, lambda _: True, 120, lambda _: None)
            token = (self.root / "operator" / "admin.token").read_text().strip()
            self.operator_process = process
            with Http(f"http://127.0.0.1:{port}", process, log, token) as self.operator:
                yield self.operator

    @contextmanager
    def stored(self) -> Iterator[Session]:
        """Look at what the operator has stored, or change it behind its back: a unit of work."""
        with closing(Store.in_directory(self.root / "operator")) as store, store.unit_of_work() as session:
            yield session

    def agent_arguments(self, port: int) -> list[str]:
        """The command line of the institution's agent against the running operator."""
        assert self.operator is not None
        return [
            "institution", "serve", "--dir", str(self.root / "institution"), "--name", NAME,
            "--operator", self.operator.url, "--trust", str(self.trust), "--gross-limit", str(GROSS_LIMIT),
            "--port", str(port), "--max-tick-age", "unbounded",
        ]  # fmt: skip

    @contextmanager
    def answering(self) -> Iterator[Http]:
        """Run the institution's agent against the running operator."""
        port, log = free_port(), self.root / "agent.log"
        url, token = f"http://127.0.0.1:{port}", load_token(self.root / "institution" / "agent.token")
        started = self.nursery.running("atomic_margin", self.agent_arguments(port), log)
        with started as process, Http(url, process, log, token) as self.agent:
            self.agent_process = process
            self.agent.wait("/v1/status", AgentStatus, lambda status: status.enrolled, 120, lambda _: None)
            yield self.agent

    @contextmanager
    def own_agent(
        self,
        max_tick_age: int | None = None,
        clock: Callable[[], datetime] = present_time,
        directory: Path | None = None,
    ) -> Iterator[Agent]:
        """The institution's agent in this process, without its answering loop: for what its loop would not do."""
        assert self.operator is not None
        pins, folder = TrustFile.parse(read_json(self.trust)), directory or self.root / "institution"
        agent = Agent(AgentSettings(folder, NAME, self.operator.url, pins, GROSS_LIMIT, max_tick_age, clock))
        try:
            yield agent
        finally:
            agent.close()

    @contextmanager
    def both(self, **options: Any) -> Iterator["World"]:
        """Run operator and agent."""
        with ExitStack() as stack:
            stack.enter_context(self.serving(**options))
            stack.enter_context(self.answering())
            yield self

    def post(self, path: str, document: dict[str, Any]) -> Any:
        """Post a document to the operator as the institution's agent does: signed by its key."""
        assert self.operator is not None
        assert self.operator_process is not None
        with Http(self.operator.url, self.operator_process, self.root / "operator.log") as http:
            http._client.auth = self.auth()
            return http.post(path, document)

    def tick(self, number: int, sequence: int) -> str:
        """Send one of the example markets under a sequence number; return the run it schedules."""
        assert self.operator is not None
        return TickAccepted.parse(self.operator.post("/v1/ticks", self.prices(number, sequence))).runs[0]

    def next_place(self) -> Place:
        """Where the running operator's next tick stands, as its sources see it."""
        assert self.operator is not None
        newest = self.operator.read("/v1/ticks", LastTick).document
        last = None if newest is None else parse_signed(newest, PriceTick)[1]
        return place_after(last, PriceRules.parse(read_json(self.root / "price-rules.json")))

    def prices(
        self, number: int, sequence: int, minutes: int | None = None, sources: tuple[Identity, ...] = ()
    ) -> dict[str, Any]:
        """What the sources, or others, sign of an example market for a sequence number."""
        document = market(number, sequence, sequence if minutes is None else minutes)
        return signed_prices(sources or self.sources, document, self.next_place()._replace(sequence=sequence))

    def wait_run(self, run_id: str, states: Iterable[RunState] = OVER, seconds: float = 180) -> RunView:
        """Wait until a run is in one of the states."""
        assert self.operator is not None
        return self.operator.wait(
            f"/v1/runs/{run_id}", RunView, lambda seen: seen.state in states, seconds, lambda _: None
        )

    def account(self) -> AccountView:
        """The institution's account as the operator sees it."""
        assert self.operator is not None
        return self.operator.read(f"/v1/institutions/{NAME}", AccountView)

    def ledger(self) -> LedgerView:
        """Accounts and totals of the operator's ledger."""
        assert self.operator is not None
        view = self.operator.read("/v1/ledger", LedgerView)
        assert not any(view.totals.values())
        return view


def copy_world(world: World, root: Path) -> World:
    """Copy an idle world to another folder."""
    shutil.copytree(world.root, root, dirs_exist_ok=True)
    return World(root, world.sources, world.nursery)


def problem(response_text: str) -> dict[str, Any]:
    """Parse a problem document out of a RemoteError's message."""
    document: dict[str, Any] = json.loads(response_text[response_text.index("{") :])
    return document
