"""`institution rotate-identity` as a process, before a real operator: killed at its worst moments, twice, too early.

The operator evaluates in the clear (`plain_server`). A wire between the two kills the command at the request that the
rotation is in: before the operator has it, or once it has accepted it.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_json, write_json
from atomic_margin.service.protocol.account.rotation_documents import rotation
from atomic_margin.service.protocol.agent_messages import AgentStatus
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import RunState

from .. import postgres
from ..chaos.wire import Wire, _read_request
from ..lines import FLAT
from .commands import Commands
from .harness import World
from .preloaded import Process
from .small import GROSS_LIMIT

Moment = Literal["before", "accepted"]


@dataclass
class Killing(Wire):
    """Kills a process at the request that a rotation is in.

    Attributes:
        moment: before the operator has the request, or when its answer has come, which nobody is handed.
        victim: the process.
        statuses: what the operator answered.
    """

    moment: Moment = "accepted"
    victim: int | None = None
    statuses: list[bytes] = field(default_factory=list)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, request = await _read_request(reader)
        if method != "POST" or b"/identity " not in request.split(b"\r\n", 1)[0]:
            await self._through(request, writer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        if self.moment == "accepted":
            self.statuses.append((await self._answer(request)).split(b"\r\n", 1)[0])
        while self.victim is None:
            await asyncio.sleep(0.01)
        os.kill(self.victim, signal.SIGKILL)


@dataclass
class Rotating:
    """A world whose institution replaces its key by commands."""

    world: World
    commands: Commands

    @property
    def folder(self) -> Path:
        return self.world.root / "institution"

    @property
    def key(self) -> str:
        return Identity.load_or_create(self.folder / "identity.key").public_key

    @property
    def next(self) -> str | None:
        path = self.folder / "identity.key.next"
        return Identity.load_or_create(path).public_key if path.exists() else None

    def arguments(self, url: str = "") -> list[str]:
        assert self.world.operator is not None
        return [
            "institution", "rotate-identity", "--dir", str(self.folder), "--name", NAME, "--trust",
            str(self.world.trust), "--operator", url or self.world.operator.url, "--gross-limit", str(GROSS_LIMIT),
        ]  # fmt: skip

    def rotate(self, *more: str, status: int = 0) -> str:
        """Run the command; return the new key, or what it said."""
        said = self.commands.run(*self.arguments(), *more, status=status)
        return str(self.key) if status == 0 else said

    def killed(self, moment: Moment) -> Killing:
        """Run the command, and kill it at the moment."""
        assert self.world.operator is not None
        wire = Killing(int(self.world.operator.url.rpartition(":")[2]), random.Random(1), moment=moment)
        url = wire.start()
        try:
            wire.victim = self.commands.start(self.world.root / f"{moment}.log", self.arguments(url))
            process = Process(self.world.nursery, wire.victim)
            process.wait(120)
        finally:
            wire.stop()
        assert process.returncode == -signal.SIGKILL, (self.world.root / f"{moment}.log").read_text()
        return wire

    def entered(self) -> list[str]:
        """Kinds of the account's entries, oldest first."""
        assert self.world.operator is not None
        found, page = list[str](), self.world.operator.get(f"/v1/institutions/{NAME}/entries?after=0")
        while True:
            found += [one["entry"]["body"]["kind"] for one in page["entries"]]
            if not page["more"]:
                return found
            page = self.world.operator.get(f"/v1/institutions/{NAME}/entries?after={len(found)}")

    def goes_on(self, number: int) -> None:
        """Let the agent answer a run, and verify its bundle with the trust file from before any rotation."""
        world = self.world
        with world.answering() as agent:
            run_id = world.tick(1, number)
            assert world.wait_run(run_id, (RunState.COVERED,)).state is RunState.COVERED
            assert agent.read("/v1/status", AgentStatus).problem is None
        assert world.operator is not None
        bundle = world.root / f"{run_id}.json"
        write_json(bundle, world.operator.get(f"/v1/attestations/{run_id}"))
        assert read_json(bundle)["body"]["answer"]["signer"] == self.key
        self.commands.run("verify", bundle, "--trust", world.trust)
        assert self.next is None

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Replay the operator's database when it has stopped."""
        with self.world.serving():
            yield
        self.commands.run("operator", "replay", "--check", "--dir", self.world.root / "operator", *self.database())

    def database(self) -> list[str]:
        return postgres.options(self.world.root / "operator")


@pytest.fixture
def rotating(plain_world: World) -> Rotating:
    return Rotating(plain_world, Commands(plain_world.nursery, plain_world.root))


@pytest.mark.parametrize("moment", ["before", "accepted"])
def test_a_command_that_was_killed_loses_no_key(rotating: Rotating, moment: Moment) -> None:
    old = rotating.key
    with rotating.replayed():
        wire = rotating.killed(moment)
        begun = rotating.next
        assert begun is not None
        assert rotating.key == old
        assert wire.statuses == ([b"HTTP/1.1 201 Created"] if moment == "accepted" else [])
        assert (rotating.entered()[-1] == "identity rotated") == (moment == "accepted")
        if moment == "before":
            # The agent goes on with the key that is in force, and the command with the one that was begun.
            with rotating.world.answering():
                assert rotating.key == old
            assert rotating.rotate() == begun
        # Where the operator had it, the next start of the agent is enough.
        rotating.goes_on(1)
        assert rotating.key == begun
        assert rotating.entered().count("identity rotated") == 1


def test_twice_is_two_rotations_and_an_agent_that_runs_is_in_the_way(rotating: Rotating) -> None:
    keys, first = [rotating.key], (rotating.folder / "identity.key").read_bytes()
    with rotating.replayed():
        with rotating.world.answering():
            said = rotating.rotate(status=2)
            assert "another agent runs on" in said
            assert "Traceback" not in said
            assert (rotating.key, rotating.next) == (keys[0], None)
        keys += [rotating.rotate(), rotating.rotate()]
        assert len(set(keys)) == 3
        rotating.goes_on(1)
        assert rotating.entered().count("identity rotated") == 2
        # A copy of the key from before replaces nothing, and is told why; nothing is made for it.
        (rotating.folder / "identity.key").write_bytes(first)
        said = rotating.rotate(status=2)
        assert "the key that signed was replaced" in said
        assert "Traceback" not in said
        assert (rotating.key, rotating.next) == (keys[0], None)


@pytest.mark.long
def test_something_outstanding_is_in_the_way_until_the_agent_has_sent_it(rotating: Rotating) -> None:
    world, old = rotating.world, rotating.key
    with rotating.replayed():
        world.wait_run(world.tick(1, 1), (RunState.AWAITING_ANSWER,))
        with world.own_agent() as agent:
            agent.submit(Portfolio.parse(FLAT))
            world.tick(1, 2)
            # One book waits for the open run; a later one than the next tick is refused, kept, and sent again.
            with pytest.raises(RemoteError) as refused:
                agent.submit(Portfolio.parse(FLAT))
            assert refused.value.status == 409
        said = rotating.rotate(status=2)
        assert "something that the key in force signed is not entered yet" in said
        assert "Traceback" not in said
        assert (rotating.key, rotating.next is None) == (old, False)
        with world.answering():
            world.wait_run(f"{NAME}.1", (RunState.COVERED,))
            deadline = time.monotonic() + 120
            while rotating.entered().count("submitted") < 3:
                assert time.monotonic() < deadline, rotating.entered()
                time.sleep(0.5)
        assert rotating.rotate() != old
        rotating.goes_on(3)


def test_a_stolen_key_is_replaced_under_a_hold_and_a_faster_thief_ends_the_agent(rotating: Rotating) -> None:
    """With the commands of the documents: of the institution's people and of the operator's."""
    world, commands = rotating.world, rotating.commands
    with rotating.replayed():
        directory = world.root / "operator"
        prepared = commands.asked(*rotating.arguments(), "--prepare")["next"]
        assert prepared == rotating.next
        hold = ("operator", "hold", NAME, "--reason", "key reported stolen", "--dir", directory, *rotating.database())
        commands.run(*hold)
        assert "no other key is agreed on yet" in rotating.rotate(status=2)
        commands.run(*hold, "--key", prepared)
        assert rotating.rotate("--adopt") == prepared
        commands.run("operator", "unhold", NAME, "--dir", directory)
        rotating.goes_on(1)
        # Next time the thief is faster.
        with world.answering():
            stolen = Identity.load_or_create(rotating.folder / "identity.key")
            assert world.operator is not None
            operator = Identity.load_or_create(directory / "operator.key").public_key
            count = len(rotating.entered())
            (last,) = world.operator.get(f"/v1/institutions/{NAME}/entries?after={count - 1}")["entries"]
            head = SignedDocument.parse(last["entry"]).body_hash()
            document = rotation(NAME, operator, head, stolen, Identity.generate())
            world.post(f"/v1/institutions/{NAME}/identity", document.to_json())
            assert world.agent_process is not None
            assert world.agent_process.wait(60) == 3
        said = (world.root / "agent.log").read_text()
        assert "somebody else has the key: have the operator hold the account at once" in said
        assert "Traceback" not in said
        assert rotating.key == prepared
