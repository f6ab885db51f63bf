"""Worlds for the end-to-end and adversary tests: one enrolled with an accepted portfolio, copied for every test."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from atomic_margin.circuits.profile import TINY
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.service.demo.parties import NAME, parties
from atomic_margin.service.demo.story import Staging
from atomic_margin.service.files import read_json, write_json
from atomic_margin.service.protocol.messages import AccountView
from atomic_margin.service.protocol.states import AccountState

from . import outside, postgres
from .chaos import untried
from .e2e.harness import PLAIN, World, copy_world
from .e2e.preloaded import Nursery
from .e2e.small import write_small_examples
from .postgres import databases_dropped as databases_dropped
from .postgres import no_database_where_none_is as no_database_where_none_is

if postgres.wanted():
    postgres.take_the_place_of_sqlite()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    postgres.leave_out(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for said in (outside.summary(), postgres.summary(), untried.summary()):
        if said is not None:
            terminalreporter.write_line(said, red=True, bold=True)


# Tests run beside each other on two cores: how long an example took, or took to be made, says nothing about the code.
# Where a test does not say how many examples it wants, `make test-all` has hypothesis's own number.
settings.register_profile("full", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("brief", settings.get_profile("full"), max_examples=40)
settings.load_profile(os.environ.get("ATOMIC_MARGIN_EXAMPLES", "brief"))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that a test runs in this process configures what is logged: for itself, not for the next test."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    yield
    root.setLevel(before[0])
    for handler in set(root.handlers) - set(before[1]):
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts the processes of the tests."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> World:
    """An operator and an institution that has enrolled, posted collateral and submitted its portfolio; both stopped."""
    root = tmp_path_factory.mktemp("enrolled")
    examples = write_small_examples(root / "examples")
    with (
        postgres.operator_s_database(root / "operator"),
        parties(Staging.read(examples), root, root, root / "trust.json", lambda _: None) as running,
    ):
        running.post_collateral()
        running.submit("portfolio.json")
        account = running.operator.read(f"/v1/institutions/{NAME}", AccountView)
        assert account.state is AccountState.ACTIVE
    trust = read_json(root / "trust.json")
    assert trust["institutions"].keys() == {NAME}
    # Tests run the operator without the demo's witness; the demo itself is played with one.
    del trust["log"]
    write_json(root / "trust.json", trust)
    return World(root, running.sources, nursery)


@pytest.fixture
def world(enrolled: World, tmp_path: Path) -> World:
    """A private copy of the enrolled world."""
    return copy_world(enrolled, tmp_path / "world")


@pytest.fixture(scope="session")
def spare_keys() -> InstitutionKeys:
    """Keys of the small profile that no world has enrolled."""
    return InstitutionKeys.generate(TINY)


@pytest.fixture
def ready_made_keys(spare_keys: InstitutionKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes keys in this process gets the spare ones: making them takes a core for seconds."""
    monkeypatch.setattr(InstitutionKeys, "generate", lambda _: spare_keys)


@pytest.fixture
def plain_world(world: World) -> World:
    """The same, whose operator evaluates in the clear: for what happens around evaluations. See `plain_server`."""
    world.program = PLAIN
    return world
