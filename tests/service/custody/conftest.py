"""An account whose books are dealt to custodians, made once by the real agent; tests start from copies."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.institution import dealing
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms

from ..documents import FUND, example
from ..resident import Resident
from ..rounds import later as later
from ..world import Fund, World
from .holders import Holders

Later = Callable[[int], None]


class Custody:
    """A resident agent, the operator, and the custodians of the account, in one process."""

    def __init__(
        self, root: Path, source: Identity, holders: Holders, *, proofs: bool, terms: Terms | None = None
    ) -> None:
        folder = root / "institution"
        fund = Fund(FUND, Identity.load_or_create(folder / "identity.key"))
        self.world = World(root / "operator", source, {FUND: fund}, terms=terms)
        self.world.custody = holders.policy
        self.holders = holders.at(self.world)
        self.resident = Resident(self.world, folder, proofs)
        self.waited: Callable[[], None] = self.holders.look
        # Whoever waits for custodians lets them look.
        self._patches = pytest.MonkeyPatch()
        self._patches.setattr(dealing, "time", SimpleNamespace(sleep=lambda _: self.waited()))

    def submit(self) -> int:
        return self.resident.agent.submit(Portfolio.parse(example("portfolio")))

    def shown(self, deal: str) -> Any:
        path = f"/v1/institutions/{FUND}/dealings/{deal}"
        return self.world.client.get(path, auth=self.world.auth()).json()

    def close(self) -> None:
        self._patches.undo()
        self.resident.close()


class Rooms:
    """Folders of an enrolled account with collateral, without a book and with one."""

    def __init__(self, root: Path, terms: Terms | None = None, posted: Mapping[str, int] | None = None) -> None:
        """By default under the terms of the small documents, and with what they say is posted."""
        self.root, self.source, self.holders, self.terms = root, Identity.generate(), Holders(), terms
        custody = Custody(root / "live", self.source, self.holders, proofs=True, terms=terms)
        custody.world.admit(FUND)
        custody.resident.agent.enrol()
        holdings = CollateralHoldings.parse(example("collateral"))
        for asset, quantity in (posted or holdings.posted).items():
            custody.world.deposit(FUND, asset, quantity + holdings.free.get(asset, 0), f"custodian-{asset}")
            custody.resident.agent.instruct("post", asset, quantity)
        custody.close()
        shutil.copytree(root / "live", root / "enrolled")
        custody = Custody(root / "live", self.source, self.holders, proofs=True, terms=terms)
        custody.submit()
        custody.close()
        shutil.copytree(root / "live", root / "dealt")

    def open(self, stage: str, root: Path, proofs: bool) -> Custody:
        for name in ("operator", "institution"):
            shutil.copytree(self.root / stage / name, root / name)
        return Custody(root, self.source, self.holders, proofs=proofs, terms=self.terms)


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Rooms:
    return Rooms(tmp_path_factory.mktemp("custody"))


@pytest.fixture
def custody_at(rooms: Rooms, tmp_path: Path) -> Iterator[Callable[..., Custody]]:
    """Open the account `enrolled`, or with a book that was `dealt`; without `proofs` none of submissions is made."""
    opened: list[Custody] = []

    def at(stage: str, *, proofs: bool = False) -> Custody:
        for one in rooms.holders.all:
            one.away = one.lies = False
        opened.append(rooms.open(stage, tmp_path / f"custody-{len(opened)}", proofs))
        return opened[-1]

    yield at
    # The last one first, or what it replaced, which is another's replacement, would stay.
    for custody in reversed(opened):
        custody.close()
