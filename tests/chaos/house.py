"""A house of real processes that faults are played in: an operator, an institution's agent, and price sources.

Everything is as in `tests.e2e.harness`, but for who starts processes: here a supervisor does, which starts again what
was killed and nothing else. Whoever reads or sends bears that the other side is gone, and asks again, as sources and
institutions do.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from atomic_margin.service.demo.history import ORIGIN
from atomic_margin.service.demo.parties import NAME, signed_prices
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_json
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.protocol.agent_messages import AgentStatus, OwnAccountView
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.messages import Deposit, LastTick, M, RunView
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.ticks import PriceTick, place_after

from ..e2e.harness import PLAIN, World
from ..e2e.preloaded import ROOT, Nursery, Process
from ..e2e.small import GROSS_LIMIT, market

GENEROUS_SECONDS = 240.0
"""Longest time that anything may take before a story says that it is stuck."""
FREE_USDC = "5000000000000"
"""Smallest units: enough for every call of a story."""
FIRST_FALL, FALL, LEAST = Decimal("0.08"), Decimal("0.11"), Decimal("0.2")
"""By how much of the first prices they are lower from one falling tick to the next, as long as they are not below the
least. Calls are of 100,000 USD here: the first fall asks for one, and each of the others eats it up and a little more.
"""


class Fresh:
    """A process that starts from nothing, for what has to be there when its interpreter begins."""

    def __init__(self, module: str, arguments: list[str], log: Path, environment: Mapping[str, str]) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path, **environment},
            )  # fmt: skip
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        return self._process.wait(timeout)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)


@dataclass
class Role:
    """What one of the processes is started with, and the process while there is one.

    `fresh`: it is not forked from the nursery, but started from nothing.
    """

    nursery: Nursery
    module: str
    arguments: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: "Process | Fresh | None" = None
    starts: int = 0
    fresh: bool = False

    @property
    def name(self) -> str:
        return self.log.stem

    def start(self) -> None:
        assert self.process is None
        if self.fresh:
            self.process = Fresh(self.module, self.arguments, self.log, self.environment)
        else:
            request = {"arguments": self.arguments, "log": str(self.log), "environment": self.environment}
            self.process = Process(self.nursery, self.nursery.ask(module=self.module, **request)["pid"])
        self.starts += 1

    def send(self, number: int) -> int:
        """Send the process a signal that ends it, and return its status once it is over."""
        assert self.process is not None
        self.process.signal(number)
        try:
            status = self.process.wait(40)
        except Exception:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            raise
        self.process = None
        return status

    def kill(self) -> None:
        """Let the process end as if the power had gone."""
        status = self.send(signal.SIGKILL)
        assert status == -signal.SIGKILL, f"{self.module} ended by itself with {status}: see {self.log}"

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Lines:
    """The lines of a JSON log, as they are written, from where it ended when this was made."""

    def __init__(self, path: Path) -> None:
        self._path, self._rest = path, b""
        self._at = path.stat().st_size if path.exists() else 0

    def read(self) -> list[dict[str, Any]]:
        """Return what was written since the last look."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        # What a process says before its log is configured, or a library beside it, is no JSON.
        return [json.loads(line) for line in whole if line.startswith(b"{") and line.endswith(b"}")]

    def wait(self, good: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any] | None:
        """Return the first line that is good, or None when none is in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.read():
                if good(line):
                    return line
            time.sleep(0.002)
        return None


@dataclass
class House:
    """The running parties on one world.

    Attributes:
        world: both parties' folders.
        operator: the operator's process.
        agent: the agent's process.
        url: of the operator, without what a story puts between it and the agent.
        agent_url: of the agent.
        ticks: numbers that were taken, in their order.
        fallen: what prices are multiplied by.
    """

    world: World
    operator: Role
    agent: Role
    url: str
    agent_url: str
    ticks: list[int] = field(default_factory=list)
    fallen: Decimal = Decimal(1)

    # Reading

    def ask(self, path: str, kind: type[M]) -> M | None:
        """GET a message from the operator, None while it does not answer."""
        token = (self.world.root / "operator" / "admin.token").read_text().strip()
        return _ask(self.url + path, token, kind)

    def ask_agent(self, path: str, kind: type[M]) -> M | None:
        """GET a message from the agent, None while it does not answer."""
        return _ask(self.agent_url + path, load_token(self.world.root / "institution" / "agent.token"), kind)

    def run(self, number: int) -> RunView | None:
        """Return the institution's run under a tick."""
        return self.ask(f"/v1/runs/{NAME}.{number}", RunView)

    def wait_over(self, number: int, states: tuple[RunState, ...], seconds: float = GENEROUS_SECONDS) -> RunState:
        """Wait until the run under a tick is in one of the states."""
        seen: list[Any] = [None]

        def good() -> bool:
            seen[0] = self.run(number)
            return seen[0] is not None and seen[0].state in states

        self.eventually(good, lambda: f"run {NAME}.{number} is {seen[0] and seen[0].state}", seconds)
        state: RunState = seen[0].state
        return state

    def eventually(self, good: Callable[[], bool], what: Callable[[], str], seconds: float = GENEROUS_SECONDS) -> None:
        """Wait for something; what stays otherwise is stuck, and a process that ended by itself is a fault."""
        end = time.monotonic() + seconds
        while not good():
            for role in (self.operator, self.agent):
                assert role.process is None or role.alive(), f"{role.module} ended by itself\n{_tail(role.log)}"
            if time.monotonic() > end:
                ends = "\n".join(f"{role.log}:\n{_tail(role.log)}" for role in (self.operator, self.agent))
                raise AssertionError(f"stuck: {what()} after {seconds:.0f} s\n{ends}")
            time.sleep(0.05)

    # What sources do

    def falling(self) -> bool:
        """Let the next ticks' prices be lower, so that the book is short of margin; return whether there is a way."""
        fallen = self.fallen - (FIRST_FALL if self.fallen == 1 else FALL)
        if fallen < LEAST:
            return False
        self.fallen = fallen
        return True

    def prices(self, sequence: int) -> dict[str, Any]:
        """Return the prices of a tick, as the sources see them."""
        document = market(1, sequence, sequence)
        for quotes in document["underlyings"].values():
            for name in ("spot", "perpetual"):
                quotes[name] = self._lower(quotes[name])
            for expiry in quotes["expiries"].values():
                expiry["forward"] = self._lower(expiry["forward"])
        return document

    def _lower(self, price: str) -> str:
        return format((Decimal(price) * self.fallen).quantize(Decimal("0.1")), "f")

    def tick(self, seconds: float = GENEROUS_SECONDS) -> int:
        """Send the next tick until the operator has it, whatever becomes of requests; return its number."""
        number, end, refused = 0, time.monotonic() + seconds, "the operator does not answer"
        rules = PriceRules.parse(read_json(self.world.root / "price-rules.json"))
        while time.monotonic() < end:
            newest = self.ask("/v1/ticks", LastTick)
            if newest is not None:
                # Asked before every try: the answer to the one before may have been lost.
                if number and newest.sequence >= number:
                    self.ticks.append(number)
                    return number
                place = place_after(self.last_tick(newest), rules)
                number = place.sequence
                body = signed_prices(self.world.sources, self.prices(number), place)
                refused = self._post("/v1/ticks", body) or refused
            time.sleep(0.05)
        raise AssertionError(
            f"stuck: tick {number} was not taken after {seconds:.0f} s: {refused}\n{_tail(self.operator.log)}"
        )

    @staticmethod
    def last_tick(newest: LastTick) -> PriceTick | None:
        """Return the newest tick, None before the first."""
        return None if newest.document is None else parse_signed(newest.document, PriceTick)[1]

    def _post(self, path: str, body: Any) -> str | None:
        """POST to the operator; return why it was refused, if it was."""
        token = (self.world.root / "operator" / "admin.token").read_text().strip()
        try:
            headers = {"Authorization": f"Bearer {token}"}
            answer = httpx.post(self.url + path, json=body, headers=headers, timeout=60)
        except httpx.HTTPError as error:
            return str(error)
        return answer.text if answer.is_error else None

    def deposit(self, quantity: str, reference: str) -> None:
        """Book collateral that arrived, once."""
        body = Deposit(institution=NAME, asset="USDC", quantity=quantity, reference=reference).to_json()
        refused = self._post("/v1/deposits", body)
        assert refused is None, refused

    def status_account(self) -> OwnAccountView | None:
        """Return the account as the agent has it, None while it does not say."""
        status = self.ask_agent("/v1/status", AgentStatus)
        return None if status is None else status.account

    def no_alarm(self) -> None:
        """Make sure that the agent found nothing wrong with the operator, nor with its own keys."""
        status = self.ask_agent("/v1/status", AgentStatus)
        assert status is not None
        assert (status.alarm, status.contradiction, status.dispute) == (None, None, None)


def _ask(url: str, token: str, kind: type[M]) -> M | None:
    try:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    except httpx.HTTPError:
        return None
    if answer.status_code in (404, 409, 429, 503):
        # Not yet: a run that no tick scheduled so far, an agent that is not open, an operator whose database is away.
        return None
    if answer.is_error:
        raise RemoteError(f"GET {url}: {answer.text}", answer.status_code)
    return kind.parse(answer.json())


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-25:]) if log.exists() else ""


@contextmanager
def open_house(
    world: World,
    *,
    program: str = PLAIN,
    options: tuple[str, ...] = (),
    between: Callable[[int], str] | None = None,
    environment: Mapping[str, str] | None = None,
    agent_environment: Mapping[str, str] | None = None,
    fresh: bool = False,
    free: str = FREE_USDC,
) -> Iterator[House]:
    """Start both processes, give the institution something for calls, and stop what runs at the end.

    Args:
        world: enrolled and idle; see `tests.conftest`.
        program: what the operator runs.
        options: further ones of the operator.
        between: given the operator's port, returns the address that the agent is given.
        environment: further variables of the operator.
        agent_environment: further variables of the agent.
        fresh: start both from nothing, with these variables from the first moment on.
        free: what the institution gets for calls, smallest units of USDC.
    """
    root, port, agent_port = world.root, free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    documents = {"model": "model-scan.json", "universe": "universe.json", "schedule": "collateral-schedule.json"}
    files = [part for name, file in documents.items() for part in (f"--{name}", str(world.examples / file))]
    world.temporary.mkdir(exist_ok=True)
    operator = Role(
        world.nursery,
        program,
        [
            "serve", "--dir", str(root / "operator"), "--price-rules", str(root / "price-rules.json"), *files,
            "--profile", "tiny", "--port", str(port), "--log-origin", ORIGIN, "--log-format", "json",
            "--log-level", "debug", *options,
        ],
        root / "operator.log",
        {"TMPDIR": str(world.temporary), **(environment or {})},
        fresh=fresh,
    )  # fmt: skip
    agent = Role(
        world.nursery,
        "atomic_margin",
        [
            "institution", "serve", "--dir", str(root / "institution"), "--name", NAME, "--operator",
            url if between is None else between(port), "--trust", str(world.trust), "--gross-limit", str(GROSS_LIMIT),
            "--port", str(agent_port), "--max-tick-age", "unbounded", "--log-format", "json",
        ],
        root / "agent.log",
        dict(agent_environment or {}),
        fresh=fresh,
    )  # fmt: skip
    house = House(world, operator, agent, url, f"http://127.0.0.1:{agent_port}")
    operator.start()
    try:
        house.eventually(lambda: house.ask("/v1/ticks", LastTick) is not None, lambda: "the operator does not answer")
        house.deposit(free, "custodian-chaos")
        agent.start()
        yield house
    finally:
        for role in (agent, operator):
            if role.process is not None:
                role.send(signal.SIGTERM)
