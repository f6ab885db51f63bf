"""An operator joined to a vault; what a test does on the chain is undone."""

from collections.abc import Callable, Iterator

import pytest

from ...contracts.vault.chain import new_chain
from ...contracts.vault.world import PEOPLE
from ...contracts.vault.world import World as Vault
from ..world import World
from .settling import Settling, new_vault, settling


@pytest.fixture(scope="session")
def deployed_vault() -> Vault:
    return new_vault(new_chain(PEOPLE))


@pytest.fixture
def vault(deployed_vault: Vault) -> Iterator[Vault]:
    before = deployed_vault.chain.machine.take_snapshot()
    yield deployed_vault
    deployed_vault.chain.machine.revert_to_snapshot(before)


@pytest.fixture
def joined(world_at: Callable[[str], World], vault: Vault) -> Iterator[Settling]:
    """An institution with a book, in the ledger and in the vault, and no collateral."""
    with settling(world_at("bare"), vault) as made:
        yield made
        made.world.close()
