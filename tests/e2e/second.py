"""A second institution beside the one that is enrolled, and looks at the workers that evaluate both."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.files import read_json
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.protocol.messages import AccountStanding, Admission, Booked, Deposit, RunView
from atomic_margin.service.protocol.states import RunState
from atomic_margin.service.protocol.trust import TrustFile

from .harness import World
from .small import GROSS_LIMIT, PORTFOLIO

SECOND = "harbour"


def eventually(good: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(world: World) -> list[int]:
    """The evaluation workers' process numbers: children that compute."""
    assert world.operator_process is not None
    pid = world.operator_process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if int(Path(f"/proc/{child}/statm").read_text().split()[1]) > 30_000]


def join_second(world: World) -> Agent:
    """Have a second institution admitted, enrolled and watched with the same book; its agent is in this process."""
    assert world.operator is not None
    trust = TrustFile.parse(read_json(world.trust))
    agent = Agent(AgentSettings(world.root / SECOND, SECOND, world.operator.url, trust, GROSS_LIMIT, None))
    identity = agent.identity.public_key
    admission = Admission(institution=SECOND, name="Harbour", identity=identity)
    world.operator.send("/v1/admissions", admission, AccountStanding)
    deposit = Deposit(institution=SECOND, asset="USDC", quantity="300000000000", reference="custodian-harbour")
    world.operator.send("/v1/deposits", deposit, Booked)
    agent.enrol()
    agent.instruct("post", "USDC", 300_000_000_000)
    agent.submit(Portfolio.parse(PORTFOLIO))
    return agent


@contextmanager
def held(processes: list[int]) -> Iterator[None]:
    """Stop processes for the length of the block, in which they may also be killed."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def one_beside_the_other(world: World, runs: list[str]) -> bool:
    """Whether one of two runs was evaluated while the other one is in hand: not after it, and not before it."""
    assert world.operator is not None
    states = {RunState(world.operator.read(f"/v1/runs/{run_id}", RunView).state) for run_id in runs}
    return states == {RunState.EVALUATING, RunState.AWAITING_ANSWER}
