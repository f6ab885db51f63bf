"""The real agent against the operator of a `World`, in one process: only FHE is a double, and the line may be cut."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import TINY, Profile
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.institution import answers, client, coverage, key_sets, keyring, releases, submissions
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.settings import AgentSettings, present_time
from atomic_margin.service.institution.store import OwnAnswer, OwnDocument, OwnEntry, OwnSubmission
from atomic_margin.service.operator.accounts import enrolment as admission
from atomic_margin.service.protocol import unasked, verification
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms

from .documents import FUND, GROSS_LIMIT, Json, example
from .double import PlainKeys, trivial_words
from .world import Fund, World

_SERIAL = itertools.count(1)


class FileKeys(PlainKeys):
    """Keys of known bits that are told apart by a number, which their file has."""

    def __init__(self, profile: Profile = TINY, serial: int = 0) -> None:
        super().__init__(profile)
        self.serial = serial

    @classmethod
    def generate(cls, profile: Profile) -> InstitutionKeys:
        return cls(profile, next(_SERIAL))

    @classmethod
    def load(cls, profile: Profile, path: Path) -> InstitutionKeys:
        return cls(profile, int(path.read_text()))

    def save(self, path: Path) -> None:
        path.write_text(str(self.serial))

    def evaluation_keys(self) -> bytes:
        return b"evaluation keys %d" % self.serial

    def known_answer_input(self) -> bytes:
        layout = layout_of(self.profile).messages["input"]
        return trivial_words([index % 32 for index in range(layout.count)], layout)


class Line:
    """The agent's way to the operator. It can be cut before a request arrives, or before its reply does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[tuple[str, str, Any]] = []
        self.lost: Callable[[str, str], str | None] = lambda method, path: None
        self.bent: Callable[[str, Json], Json] | None = None

    def __call__(self, **_: Any) -> "Line":
        return self

    @contextmanager
    def stream(self, method: str, path: str, **arguments: Any) -> Iterator[Any]:
        body = arguments.get("content") or b""
        is_json = arguments.get("headers", {}).get("Content-Type") == "application/json"
        self.asked.append((method, path, json.loads(body) if is_json else None))
        lost = self.lost(method, path)
        if lost == "request":
            raise httpx.ConnectError("the line is cut")
        with self.world.client.stream(method, path, **arguments) as response:
            if lost != "reply":
                yield response
                return
            response.read()
        raise httpx.ReadError("the line is cut")

    def close(self) -> None:
        pass

    def sent(self, suffix: str) -> list[Any]:
        """Bodies that were posted to paths with that end."""
        return [body for method, path, body in self.asked if method == "POST" and path.endswith(suffix)]


class Resident:
    """One institution's folder, and the operator it is at."""

    def __init__(self, world: World, folder: Path, proofs: bool, name: str = FUND) -> None:
        """Without `proofs` none is made, and none is verified: they are shown elsewhere, and take seconds."""
        self.world, self.folder, self.line, self.name = world, folder, Line(world), name
        self.delivered: list[str] = []
        self._patches = pytest.MonkeyPatch()
        self._patches.setattr(client, "httpx", SimpleNamespace(Client=self.line, HTTPError=httpx.HTTPError))
        self._patches.setattr(keyring, "InstitutionKeys", FileKeys)
        self._patches.setattr(key_sets, "InstitutionKeys", FileKeys)
        if not proofs:
            for module in (submissions, answers, coverage, releases):
                for name in [name for name in vars(module) if name.startswith("prove_")]:
                    self._patches.setattr(module, name, lambda *_: bytes(1))
            for name in ("portfolio", "encryption", "sufficiency"):
                self._patches.setattr(verification, f"verify_{name}", lambda *_: None)
            for module in (verification, unasked):
                self._patches.setattr(module, "require_proven", lambda *_: None)
        self._agent: Agent | None = None

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            self._agent = self.started()
        return self._agent

    def started(self, **changes: Any) -> Agent:
        settings = {"max_tick_age": None, "clock": present_time} | changes
        return Agent(
            AgentSettings(self.folder, self.name, "http://operator", self.world.trust_file(), GROSS_LIMIT, **settings),
            deliver=self.delivered.append,
        )

    def restarted(self, **changes: Any) -> Agent:
        """Stop the agent's process and start another one on its folder."""
        if self._agent is not None:
            self._agent.close()
        self._agent = self.started(**changes)
        return self._agent

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()
        self._patches.undo()
        self.world.close()

    def prepare(self) -> None:
        """Admit, enrol, post the example's collateral, submit its book."""
        identity = Identity.load_or_create(self.folder / "identity.key")
        self.world.funds[FUND].identity = identity
        admission.admit(self.world.operator, FUND, "Larkfield", identity.public_key, self.world.allowances)
        self.agent.enrol()
        holdings = CollateralHoldings.parse(example("collateral"))
        for asset, quantity in holdings.posted.items():
            self.world.deposit(FUND, asset, quantity + holdings.free.get(asset, 0), f"custodian-{asset}")
            self.agent.instruct("post", asset, quantity)
        self.agent.submit(Portfolio.parse(example("portfolio")))

    @property
    def state(self) -> Account:
        """The account by the operator's own word."""
        return self.world.account(self.name)

    def rows(self, kind: type[Any]) -> list[Any]:
        with self.agent._store.unit_of_work() as session:
            return session.query(kind).all()

    @property
    def submissions(self) -> list[OwnSubmission]:
        return self.rows(OwnSubmission)

    @property
    def answers(self) -> list[OwnAnswer]:
        return self.rows(OwnAnswer)

    @property
    def documents(self) -> list[OwnDocument]:
        return self.rows(OwnDocument)

    @property
    def entries(self) -> list[OwnEntry]:
        return self.rows(OwnEntry)


class Residents:
    """One folder of each party with an account that has a book, made once and copied for every test."""

    def __init__(self, root: Path, terms: Terms | None = None) -> None:
        self.root, self.source, self.terms = root, Identity.generate(), terms
        resident = self._opened(root, proofs=True)
        resident.prepare()
        resident.close()

    def copy(self, root: Path, proofs: bool) -> Resident:
        for name in ("operator", "institution"):
            shutil.copytree(self.root / name, root / name)
        return self._opened(root, proofs)

    def _opened(self, root: Path, proofs: bool) -> Resident:
        folder = root / "institution"
        fund = Fund(FUND, Identity.load_or_create(folder / "identity.key"))
        return Resident(World(root / "operator", self.source, {FUND: fund}, terms=self.terms), folder, proofs)
