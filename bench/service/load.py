"""Institutions times ticks against real processes: an operator that serves, institutions that answer, ticks that come.

    figures = play(Plan(institutions=100, ticks=60, period=1.0, plain=True), print)

What has to be made before the first tick (keys, submissions and their proofs) can be kept in a folder and used again.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atomic_margin.bench.environment import command_line, environment
from atomic_margin.bench.service.figures import disk_bytes, figures, memory, processor
from atomic_margin.bench.service.institution import IDENTITY
from atomic_margin.bench.service.outcome import outcome, unfinished
from atomic_margin.bench.service.players import PlayerProcess, Share, shares_of, write_shared_openings
from atomic_margin.bench.service.scene import AMPLE_USD, ASSET, DECIMALS, SOURCES, Scene, price_rules
from atomic_margin.circuits.profile import profile_by_name
from atomic_margin.margin.market.market import Market
from atomic_margin.service.demo.processes import Http, free_port, running
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.feed.source import price_set, sign_market
from atomic_margin.service.files import write_json
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.ceilings import require_provable
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
from atomic_margin.service.protocol.ticks import PriceTick, place_after

Figures = dict[str, Any]
Say = Callable[[str], None]

OPERATOR, INSTITUTIONS, MADE = "operator", "institutions", "made.json"
START_SECONDS = 600
PROGRESS_SECONDS = 10.0
MAX_INSTITUTIONS = 10_000


@dataclass(frozen=True)
class Plan:
    """What is played.

    Attributes:
        institutions: how many.
        ticks: how many.
        period: seconds from one tick to the next.
        profile: of the circuits.
        plain: whether the operator computes in the clear, so that only the rest is measured.
        policy: of the operator.
        proof_seconds: time to prove coverage first, under `unless_proven`.
        breaching: share of institutions that breach.
        players: processes of institutions.
        drain: seconds without the end of a run, after the last tick, until the load is given up.
        prepared: folder of what is made before the first tick; used if it is there, else written.
        database: SQLAlchemy URL; None for SQLite in the load's own folder.
    """

    institutions: int = 10
    ticks: int = 10
    period: float = 5.0
    profile: str = "64x16x20"
    plain: bool = False
    policy: str = "always"
    proof_seconds: int = 10
    breaching: float = 0.1
    players: int = 2
    drain: float = 120.0
    prepared: Path | None = None
    database: str | None = None

    def __post_init__(self) -> None:
        require_provable(profile_by_name(self.profile))
        if not 1 <= self.institutions <= MAX_INSTITUTIONS:
            raise ConfigurationError(f"--institutions is 1 to {MAX_INSTITUTIONS}, got {self.institutions}")
        if self.prepared is not None and self.database is not None:
            raise ConfigurationError("--prepared keeps an SQLite file: leave it out with --database")

    @property
    def names(self) -> list[str]:
        """Of the institutions."""
        return [f"fund-{number:04d}" for number in range(1, self.institutions + 1)]

    @property
    def made(self) -> Figures:
        """What the prepared folder depends on."""
        named = ("institutions", "ticks", "profile", "plain", "breaching")
        return {name: value for name, value in asdict(self).items() if name in named}


def play(plan: Plan, say: Say) -> Figures:
    """Play a load in a temporary folder; return its figures.

    Raises:
        ConfigurationError: the prepared folder is of another load.
        RemoteError: a process ended, or refuses what it should take.
    """
    with tempfile.TemporaryDirectory(prefix="atomic-margin-load-") as folder:
        return _Load(plan, Path(folder), say).play()


class _Load:
    def __init__(self, plan: Plan, folder: Path, say: Say) -> None:
        self.plan, self.folder, self.say = plan, folder, say
        self.scene = Scene(plan.profile, plan.ticks)
        self.trace, self.log = folder / "trace.jsonl", folder / "operator.log"
        self.trace.touch()
        self.made = False
        if plan.prepared is not None and (plan.prepared / MADE).is_file():
            if json.loads((plan.prepared / MADE).read_text()) != plan.made:
                raise ConfigurationError(f"{plan.prepared} was made for another load: {plan.made} is wanted")
            say(f"copying {plan.prepared}")
            shutil.copytree(plan.prepared, folder, dirs_exist_ok=True)
            self.made = True
        self.institutions = folder / INSTITUTIONS
        self.institutions.mkdir(exist_ok=True)
        self.sources = [Identity.load_or_create(folder / f"source-{number}.key") for number in range(SOURCES)]
        self.rules: PriceRules = price_rules(self.sources)
        write_json(folder / "price-rules.json", self.rules.canonical())

    def play(self) -> Figures:
        if not self.made:
            self._prepare()
        prepared_bytes = disk_bytes(self.folder / OPERATOR)
        scheduled: dict[str, float] = {}
        ticks: list[dict[str, float]] = []
        with ExitStack() as stack:
            operator, pid = self._serve(stack)
            players = self._players(stack, operator)
            self._wait(players)
            worked = processor(pid, [player.pid for player in players])
            started = time.monotonic()
            for number in range(1, self.plan.ticks + 1):
                due = started + (number - 1) * self.plan.period
                self._sleep(due, players, f"tick {number} of {self.plan.ticks}")
                sent = time.monotonic()
                runs = self._tick(operator, number)
                ticks.append({"number": number, "late": sent - due, "took": time.monotonic() - sent})
                scheduled |= dict.fromkeys(runs, sent)
            drained = self._drain(players)
            elapsed = time.monotonic() - started
            held = memory(pid, [player.pid for player in players])
            ended = processor(pid, [player.pid for player in players])
            for player in players:
                player.stop()
        store = self._store()
        try:
            receipts = self._receipts()
            entries = {line["run_id"]: line["entry"] for line in receipts if "entry" in line}
            self.say("looking at every entry")
            found = outcome(
                store, Identity.load_or_create(self.folder / OPERATOR / "operator.key").public_key, scheduled, entries
            )
        finally:
            store.close()
        trace = [json.loads(line) for line in self.trace.read_text().splitlines()]
        grown = disk_bytes(self.folder / OPERATOR) - prepared_bytes
        return {
            **{name: str(value) if isinstance(value, Path) else value for name, value in asdict(self.plan).items()},
            "drained": drained,
            "elapsed_s": elapsed,
            **figures(scheduled, ticks, trace, receipts, elapsed),
            "processor_s": {name: ended[name] - worked[name] for name in ended},
            "memory": held,
            "disk_per_institution_bytes": prepared_bytes // self.plan.institutions,
            "disk_grown_bytes": grown,
            **{f"outcome_{name}": value for name, value in asdict(found).items()},
            "holds": found.holds,
            **environment(command_line()),
        }

    def _prepare(self) -> None:
        """Admit, enrol, post and submit for everybody; keep it, if that is wanted."""
        terms = self.scene.terms()
        self.say(f"preparing {self.plan.institutions} institutions: keys, submissions and their proofs")
        if self.plan.plain:
            write_shared_openings(self.scene, self.institutions)
        with ExitStack() as stack:
            operator, _ = self._serve(stack)
            posted = self._posted(self.scene.required_usd(terms))
            for name in self.plan.names:
                (self.institutions / name).mkdir(exist_ok=True)
                identity = Identity.load_or_create(self.institutions / name / IDENTITY)
                admission = Admission(institution=name, name=name, identity=identity.public_key)
                operator.send("/v1/admissions", admission, AccountStanding)
                units = posted[name] + AMPLE_USD * 10**DECIMALS
                arrived = Deposit(institution=name, asset=ASSET, quantity=str(units), reference=f"custodian-{name}")
                operator.send("/v1/deposits", arrived, Booked)
            players = self._players(stack, operator)
            self._wait(players)
            for player in players:
                player.stop()
        if self.plan.prepared is not None:
            self.plan.prepared.mkdir(parents=True, exist_ok=True)
            shutil.copytree(self.folder / OPERATOR, self.plan.prepared / OPERATOR, dirs_exist_ok=True)
            shutil.copytree(self.institutions, self.plan.prepared / INSTITUTIONS, dirs_exist_ok=True)
            for file in self.folder.glob("source-*.key"):
                shutil.copy2(file, self.plan.prepared)
            write_json(self.plan.prepared / MADE, self.plan.made)
        # What was told while it was prepared is not part of the load.
        self.trace.write_bytes(b"")

    def _posted(self, required_usd: int) -> dict[str, int]:
        """Return what each posts: the first ones so little that they breach."""
        short = round(self.plan.institutions * self.plan.breaching)
        return {
            name: (required_usd if number < short else AMPLE_USD) * 10**DECIMALS
            for number, name in enumerate(self.plan.names)
        }

    def _serve(self, stack: ExitStack) -> tuple[Http, int]:
        """Start the operator; return it, with its admin token, and the process's number."""
        port = free_port()
        said = {
            "directory": str(self.folder / OPERATOR),
            "price_rules": str(self.folder / "price-rules.json"),
            "profile": self.plan.profile,
            "ticks": self.plan.ticks,
            "plain": self.plan.plain,
            "policy": self.plan.policy,
            "proof_seconds": self.plan.proof_seconds,
            "answer_seconds": 900,
            "database": self.plan.database,
            "trace": str(self.trace),
            "port": port,
        }
        config = self.folder / "operator.json"
        config.write_text(json.dumps(said))
        command = [sys.executable, "-m", "atomic_margin.bench.service.operator_process", str(config)]
        process = stack.enter_context(running(command, self.log))
        url = f"http://127.0.0.1:{port}"
        self.say(
            "starting the operator, which compiles the circuits the first time"
            if not self.plan.plain
            else "starting the operator"
        )
        with Http(url, process, self.log) as public:
            public.wait("/healthz", Health, lambda _: True, START_SECONDS, lambda _: None)
        token = (self.folder / OPERATOR / "admin.token").read_text().strip()
        return stack.enter_context(Http(url, process, self.log, token)), process.pid

    def _players(self, stack: ExitStack, operator: Http) -> list[PlayerProcess]:
        terms = self.scene.terms()
        published = operator.read("/v1/operator", OperatorView)
        trust = {
            "format": "atomic-margin/trust/2",
            "operator": published.operator,
            "prices": self.rules.canonical(),
            "institutions": {},
            "keys": {},
            "universe": terms.universe.hash(),
            **terms.hashes,
        }
        posted = self._posted(self.scene.required_usd(terms))
        players = []
        for number, names in enumerate(shares_of(self.plan.names, self.plan.players)):
            share = Share(
                scene=Scene(self.plan.profile, self.plan.ticks),
                plain=self.plan.plain,
                url=operator.url,
                trust=trust,
                trace=self.trace,
                receipts=self.folder / f"receipts-{number}.jsonl",
                folder=self.institutions,
                units={name: posted[name] for name in names},
            )
            players.append(PlayerProcess(share))
            stack.callback(players[-1].process.kill)
        return players

    def _wait(self, players: list[PlayerProcess]) -> None:
        """Wait until everybody is prepared, and say how far they are."""
        said = 0.0
        while not all(player.is_prepared for player in players):
            time.sleep(0.1)
            for player in players:
                player.look()
            if time.monotonic() - said >= PROGRESS_SECONDS:
                said = time.monotonic()
                ready = sum(player.ready for player in players)
                self.say(f"{ready} of {self.plan.institutions} institutions are ready")

    def _sleep(self, until: float, players: list[PlayerProcess], what: str) -> None:
        self.say(what)
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            for player in players:
                player.look()

    def _tick(self, operator: Http, number: int) -> list[str]:
        newest = operator.read("/v1/ticks", LastTick).document
        place = place_after(None if newest is None else parse_signed(newest, PriceTick)[1], self.rules)
        market = Market.parse(self.scene.market(number))
        documents = [sign_market(source, market, place) for source in self.sources]
        accepted = operator.post("/v1/ticks", price_set(documents, place.sequence).canonical())
        return list(TickAccepted.parse(accepted).runs)

    def _drain(self, players: list[PlayerProcess]) -> bool:
        """Wait until no run is left in which something is to come; give up when none ends for a while."""
        store, said = self._store(), 0.0
        before, deadline = -1, time.monotonic()
        try:
            while left := unfinished(store):
                if left != before:
                    before, deadline = left, time.monotonic() + self.plan.drain
                if time.monotonic() >= deadline:
                    break
                if time.monotonic() - said >= PROGRESS_SECONDS:
                    said = time.monotonic()
                    self.say(f"the last tick is sent; {left} runs are not over")
                time.sleep(0.2)
                for player in players:
                    player.look()
            return left == 0
        finally:
            store.close()

    def _store(self) -> Store:
        url = self.plan.database
        return Store.in_directory(self.folder / OPERATOR) if url is None else Store(url)

    def _receipts(self) -> list[dict[str, Any]]:
        lines = [
            line for file in sorted(self.folder.glob("receipts-*.jsonl")) for line in file.read_text().splitlines()
        ]
        return [json.loads(line) for line in lines]
