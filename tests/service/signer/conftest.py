"""The run, played once, and a vault in which it is open, as cheap as a snapshot for every test."""

import ast
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from web3 import Web3

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.calldata import Checked
from atomic_margin.contracts.local_chain import tester
from atomic_margin.service.signer.matrices import Place, VerifiedRun, verified_run
from atomic_margin.service.signer.vault import Moment, RunOnChain
from atomic_margin.zk.groups import Group

from ...contracts.vault.chain import new_chain
from ...contracts.vault.world import HOLDER, PEOPLE, World, world
from .played import ASSET, FREE, POSTED, Played, play

NOW = 1_800_000_000


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="session")
def verified(played: Played, group: Group) -> VerifiedRun:
    return verified_run(played.unsettled, played.trust_file, group)


@pytest.fixture
def checked(verified: VerifiedRun) -> Checked:
    return verified.breach_checked


@pytest.fixture(scope="session")
def place() -> Place:
    """A place that no chain has, for what needs none."""
    addresses = [f"0x{number:040x}" for number in (1, 2, 3, 4)]
    return Place(ChainAddresses(31337, *addresses, ASSET), 6)


@pytest.fixture
def on_chain(verified: VerifiedRun) -> RunOnChain:
    """The vault's picture of the run, as it should be."""
    return RunOnChain(
        at=Moment(now=NOW, signer_set=1, counted=True),
        account=HOLDER.address,
        tick=verified.ground.record.price_sequence,
        open=True,
        commitments=verified.breach_checked.commitments,
        free=FREE,
        posted=POSTED,
    )


@pytest.fixture(scope="session")
def deployed(verified: VerifiedRun) -> World:
    """A vault on a chain of its own, with the holder's book and collateral; no run is open."""
    made = world(new_chain(PEOPLE, threaded_tester()))
    made.enrol(FREE, POSTED, book=verified.breach_checked.commitments)
    return made


@pytest.fixture
def vault(deployed: World) -> Iterator[World]:
    """The same; what a test does on it is undone."""
    before = deployed.chain.machine.take_snapshot()
    yield deployed
    deployed.chain.machine.revert_to_snapshot(before)


@pytest.fixture
def opened(vault: World, played: Played) -> World:
    """With the run open."""
    vault.open(run=played.run, tick=played.record.price_sequence)
    return vault


def addresses_of(vault: World) -> ChainAddresses:
    return ChainAddresses(
        vault.chain.id, vault.vault.address, vault.oracle.address, vault.verifier.address, vault.token.address, ASSET
    )


def threaded_tester() -> Web3:
    """Return a chain in this process that several threads may ask, and that answers a revert as nodes do."""
    web3 = tester()
    provider: Any = web3.provider
    lock, ask = threading.Lock(), provider.make_request

    def asked(method: Any, params: Any) -> Any:
        with lock:
            try:
                return ask(method, params)
            except TransactionFailed as failed:
                said = ast.literal_eval(str(failed.args[0]).removeprefix("execution reverted: "))
                error = {"code": 3, "message": "execution reverted", "data": "0x" + said.hex()}
                return {"jsonrpc": "2.0", "id": 1, "error": error}

    provider.make_request = asked
    return web3
