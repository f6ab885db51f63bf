"""A small world that is made and moved by commands of `atomic-margin` alone, each a process of its own.

Operator, agent and witness are the ones of the harness. Whoever waits for something reads the operator's account.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atomic_margin.service.demo.history import Watch, witness
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import OVER, RunState

from .harness import World
from .preloaded import Nursery, Process
from .small import market, write_small_examples

Json = dict[str, Any]
TERMS = ("model=model-scan.json", "universe=universe.json", "schedule=collateral-schedule.json")


@dataclass
class Commands:
    """Runs commands, and keeps what every one of them said."""

    nursery: Nursery
    root: Path
    said: int = field(default=0, init=False)

    def run(self, *arguments: str | Path, status: int = 0) -> str:
        """Run a command to its end; return what it printed, on both outputs.

        Args:
            arguments: as after `atomic-margin`.
            status: exit status that it must have.
        """
        self.said += 1
        began = time.monotonic()
        log = self.root / f"command-{self.said}.log"
        process = Process(self.nursery, self.start(log, [str(one) for one in arguments]))
        process.wait(timeout=240)
        text = log.read_text()
        print(f"{time.monotonic() - began:6.2f} s", *arguments[:3])
        assert process.returncode == status, f"atomic-margin {' '.join(map(str, arguments))}\n{text}"
        return text

    def start(self, log: Path, arguments: list[str]) -> int:
        environment = {"NO_COLOR": "1", "COLUMNS": "400"}
        asked = self.nursery.ask(module="atomic_margin", arguments=arguments, log=str(log), environment=environment)
        return int(asked["pid"])

    def asked(self, *arguments: str | Path, status: int = 0) -> Json:
        """Run a command that prints JSON, and return that."""
        found: Json = json.loads(self.run(*arguments, status=status))
        return found


class CommandedWorld:
    """One operator with a witness, one institution under a collateral agreement, one price source.

    Attributes:
        world: folders and processes, as the other tests have them.
        commands: runs what people do.
        deposited, withdrawn: what came from outside and went there, smallest units by asset.
    """

    def __init__(self, root: Path, nursery: Nursery, agreement: Json) -> None:
        write_small_examples(root / "examples")
        self.world = World(root, (), nursery)
        self.commands = Commands(nursery, root)
        self.agreement = root / "agreement.json"
        self.agreement.write_text(json.dumps(agreement))
        self.deposited: dict[str, int] = {}
        self.withdrawn: dict[str, int] = {}
        self.port, self.ticks = free_port(), 0
        self.watch: Watch | None = None

    # The operator's people.

    @property
    def operator(self) -> tuple[str, ...]:
        """Options of the operator's own calls."""
        return ("--dir", str(self.world.root / "operator"), "--operator", f"http://127.0.0.1:{self.port}")

    def operators(self, command: str, *arguments: str, status: int = 0) -> Json:
        """Let the operator's people run one of their commands."""
        return self.commands.asked("operator", command, *arguments, *self.operator, status=status)

    def deposit(self, asset: str, quantity: int) -> None:
        reference = f"custodian-{asset}-{len(self.deposited)}"
        self.operators("deposit", NAME, asset, str(quantity), "--reference", reference)
        self.deposited[asset] = self.deposited.get(asset, 0) + quantity

    # The institution's back office.

    @property
    def agent(self) -> tuple[str, ...]:
        """Options of the institution's calls on its agent."""
        assert self.world.agent is not None
        return ("--dir", str(self.world.root / "institution"), "--agent", self.world.agent.url)

    def institution(self, command: str, *arguments: str, status: int = 0) -> str:
        """Let the back office run one of its commands."""
        return self.commands.run("institution", command, *arguments, *self.agent, status=status)

    def refused(self, command: str, *arguments: str) -> Json:
        """Let the back office run a command that is refused; return the problem document."""
        found: Json = json.loads(self.institution(command, *arguments, status=1))
        return found

    def withdraw(self, asset: str, quantity: int) -> None:
        self.institution("withdraw", asset, str(quantity))
        self.withdrawn[asset] = self.withdrawn.get(asset, 0) + quantity

    # Everybody.

    def introduce(self) -> None:
        """Make keys, rules and the trust file: everything that is there before a server is."""
        root, run = self.world.root, self.commands
        source = run.asked("feed", "key", "--key", root / "source.key")["source"]
        rules = run.run("feed", "rules", "--source", source, "--required", "1", "--max-age", "unbounded")
        (root / "price-rules.json").write_text(rules)
        self.identity = run.asked("institution", "init", "--dir", root / "institution")["identity"]

    def pin(self, *more: str) -> None:
        """Write the trust file of agent and verifiers, with further options."""
        assert self.watch is not None
        root = self.world.root
        files = [part for name, _, file in (one.partition("=") for one in TERMS)
                 for part in (f"--{name}", root / "examples" / file)]  # fmt: skip
        operator = Identity.load_or_create(root / "operator" / "operator.key").public_key
        trust = self.commands.run(
            "trust", "--operator", operator, "--institution", f"{NAME}={self.identity}", *files,
            "--price-rules", root / "price-rules.json", "--profile", "tiny",
            "--agreement", f"{NAME}={self.agreement}", *self.watch.trust_options, *more,
        )  # fmt: skip
        self.world.trust.write_text(trust)

    @contextmanager
    def witnessed(self) -> Iterator[None]:
        """Run the witness."""
        root = self.world.root
        with witness(root / "operator", root / "witness", root / "witness.log") as self.watch:
            yield

    @contextmanager
    def serving(self, **options: Any) -> Iterator[None]:
        """Run the operator's server, at the same address every time."""
        assert self.watch is not None
        with self.world.serving(port=self.port, options=tuple(self.watch.serve_options), **options):
            yield

    def tick(self, number: int, minutes: int) -> str:
        """Let the source sign an example market for the next tick, and send it; return the run that it schedules."""
        root, run = self.world.root, self.commands
        self.ticks += 1
        (root / "market.json").write_text(json.dumps(market(number, self.ticks, minutes)))
        rules, url = ("--price-rules", root / "price-rules.json"), ("--operator", f"http://127.0.0.1:{self.port}")
        signed = run.run("feed", "sign", root / "market.json", "--key", root / "source.key", *rules, *url)
        (root / "signed.json").write_text(signed)
        (root / "prices.json").write_text(run.run("feed", "combine", root / "signed.json", *rules))
        runs: list[str] = run.asked("feed", "post", root / "prices.json", *url)["runs"]
        assert len(runs) == 1
        return runs[0]

    def ended(self, run_id: str) -> RunState:
        """Wait until a run is over; return how."""
        return self.world.wait_run(run_id, OVER, 240).state

    def held(self) -> Json:
        """What the account has free and posted, smallest units by asset, as text."""
        return self.world.account().collateral.to_json()

    def assert_conserved(self) -> Json:
        """See that what came and did not leave is all there, free, posted or with the operator; return `held`."""
        there: dict[str, int] = {}
        accounts = self.world.ledger().accounts
        for name, balances in accounts.items():
            for asset, quantity in balances.items() if name != "external" else ():
                assert quantity >= 0
                there[asset] = there.get(asset, 0) + quantity
        left = {asset: quantity - self.withdrawn.get(asset, 0) for asset, quantity in self.deposited.items()}
        assert {asset: quantity for asset, quantity in there.items() if quantity} == left
        held = self.held()
        for place in ("free", "posted"):
            booked = accounts.get(f"{NAME}/{place}", {})
            assert {asset: str(quantity) for asset, quantity in booked.items() if quantity} == held[place]
        return held
