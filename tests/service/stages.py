"""The story of the examples, played once by one operator; tests start from copies of its stages."""

import shutil
from pathlib import Path

from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .documents import FUND, OTHER, Json, example
from .world import Fund, World


class Stages:
    """Data directories of one operator at points of the story, made once and copied for every test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = Identity.generate()
        self.funds: dict[str, Fund] = {}
        self.answers: dict[str, SignedDocument] = {}
        self.bundles: dict[str, Json] = {}
        self._play()

    def open(self, stage: str, directory: Path) -> World:
        shutil.copytree(self.root / stage, directory)
        # Each test may submit more; the proofs of what was sent before are shared.
        funds = {
            name: fund.copy(sent=stage != "enrolled")
            for name, fund in self.funds.items()
            if name == FUND or stage == "two"
        }
        return World(directory, self.source, funds)

    def _play(self) -> None:
        world = World(self.root / "live", self.source, self.funds)
        self.book = tuple(
            int(v) for v in encode(Portfolio.parse(example("portfolio")), world.terms.universe, world.columns)
        )
        world.enrol(FUND)
        world = self._keep(world, "enrolled")
        world.submit(FUND, self.book)
        world = self._keep(world, "bare")
        holdings = CollateralHoldings.parse(example("collateral"))
        for asset in sorted({*holdings.posted, *holdings.free}):
            posted = holdings.posted.get(asset, 0)
            world.deposit(FUND, asset, posted + holdings.free.get(asset, 0), f"custodian-{asset}")
            if posted:
                world.instruct(FUND, "post", asset, posted)
        world = self._keep(world, "submitted")
        for name, number in (("calm", 1), ("fall", 2), ("crash", 4)):
            run_id = world.play(number)
            self.answers[name] = world.prove_answer(run_id)
            world = self._keep(world, f"{name}-open")
            world.answer(run_id, self.answers[name])
            self.bundles[name] = world.bundle(run_id)
            world = self._keep(world, f"{name}-done")
        self.trust = world.trust()
        world.close()
        # A second, flat account beside the first; its name comes first in the alphabet.
        shutil.copytree(self.root / "submitted", self.root / "live-two")
        world = World(self.root / "live-two", self.source, self.funds)
        world.enrol(OTHER)
        world.deposit(OTHER, "USDC", 10**12, "custodian-harbour")
        world.instruct(OTHER, "post", "USDC", 10**11)
        world.submit(OTHER, (0,) * len(world.columns))
        world.close()
        shutil.copytree(self.root / "live-two", self.root / "two")

    def _keep(self, world: World, stage: str) -> World:
        world.close()
        shutil.copytree(world.directory, self.root / stage)
        return World(world.directory, world.source, world.funds)
