"""Worlds for the end-to-end and adversary tests: one enrolled with an accepted portfolio, copied for every test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from atomic_margin.service.demo.parties import NAME, parties
from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.messages import AccountView
from atomic_margin.service.protocol.states import AccountState

from .e2e.harness import World, copy_world
from .e2e.small import write_small_examples


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An operator and an institution that has enrolled, posted collateral and submitted its portfolio; both stopped."""
    root = tmp_path_factory.mktemp("enrolled")
    examples = write_small_examples(root / "examples")
    with parties(examples, root, root, root / "trust.json", lambda _: None, profile="small") as running:
        running.post_collateral()
        running.submit()
        account = running.operator.read(f"/v1/institutions/{NAME}", AccountView)
        assert account.state is AccountState.ACTIVE
    assert read_json(root / "trust.json")["institutions"].keys() == {NAME}
    return World(root, running.sources)


@pytest.fixture
def world(enrolled: World, tmp_path: Path) -> World:
    """A private copy of the enrolled world."""
    return copy_world(enrolled, tmp_path / "world")


@pytest.fixture
def another_world(enrolled: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], World]:
    """Makes further private copies."""
    return lambda: copy_world(enrolled, tmp_path_factory.mktemp("world"))
