"""Ticks are answered because the operator's stream says so, and not because the agent happened to ask.

Processes, HTTP, proofs and answers are the real ones; the operator evaluates in the clear (`plain_server`).
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.http.event_lines import read_events
from atomic_margin.service.protocol.agent_messages import AgentStatus
from atomic_margin.service.protocol.states import RunState

from .harness import World

WITHIN_SECONDS = 10.0
"""Below the interval at which an agent asks by itself, 15 s, with what a loaded machine takes besides."""


def follows(world: World) -> AgentStatus:
    assert world.agent is not None
    return world.agent.wait("/v1/status", AgentStatus, lambda status: status.following, 60, lambda _: None)


def test_ticks_are_answered_through_events_also_after_the_operator_was_restarted(plain_world: World) -> None:
    world = plain_world
    with world.serving() as operator:
        port = int(operator.url.rpartition(":")[2])
        with world.answering() as agent:
            follows(world)
            began = time.monotonic()
            first = world.wait_run(world.tick(1, 1), (RunState.COVERED,), seconds=60)
            assert time.monotonic() - began < WITHIN_SECONDS
            assert world.operator_process is not None
            world.operator_process.signal(signal.SIGKILL)
            world.operator_process.wait(20)
            agent.wait("/v1/status", AgentStatus, lambda status: not status.following, 30, lambda _: None)
            with world.serving(port=port):
                follows(world)
                began = time.monotonic()
                second = world.wait_run(world.tick(2, 2), (RunState.SETTLED,), seconds=60)
                assert time.monotonic() - began < WITHIN_SECONDS

                def settled(status: AgentStatus) -> bool:
                    return status.last_run is not None and status.last_run.settlement is not None

                seen = agent.wait("/v1/status", AgentStatus, settled, 30, lambda _: None)
                assert seen.account is not None
                assert seen.last_run is not None
                assert seen.last_run.settlement is not None
                assert (seen.account.state, seen.last_run.run_id) == ("active", second.run_id)
                assert seen.last_run.deadline == second.record["body"]["deadline"]
                assert (seen.last_run.outcome, seen.last_run.settlement.kind) == ("breach", "margin_call")
                assert (seen.problem, seen.reminders, first.state) == (None, (), RunState.COVERED)
    # One line for the operator that was away, and no traceback.
    said = (world.root / "agent.log").read_text()
    assert "Traceback" not in said


def test_an_operator_with_open_streams_stops_at_once_and_they_end_as_streams_end(plain_world: World) -> None:
    world = plain_world
    with world.serving() as operator:
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {operator_token(world)}"}
        path = f"{operator.url}/v1/institutions/{NAME}/events"
        with httpx.stream("GET", path, params={"after": 0}, headers=headers, timeout=30) as response:
            lines = response.iter_lines()
            assert next(lines) == ": open"
            assert world.operator_process is not None
            began = time.monotonic()
            world.operator_process.signal(signal.SIGTERM)
            # It ends without an error: what was entered so far, and then nothing.
            numbers = [int(event.id or 0) for event in read_events(lines)]
            world.operator_process.wait(20)
            assert time.monotonic() - began < 10
        assert numbers == list(range(1, len(numbers) + 1))
        assert "Traceback" not in (world.root / "operator.log").read_text()


def operator_token(world: World) -> str:
    return (world.root / "operator" / "admin.token").read_text().strip()


def test_a_second_agent_and_a_taken_port_are_refused_in_one_line(plain_world: World) -> None:
    world = plain_world
    with world.serving() as operator, world.answering() as agent:
        port = agent.url.rpartition(":")[2]
        arguments = [
            sys.executable, "-m", "atomic_margin", "institution", "serve", "--name", NAME, "--operator", operator.url,
            "--trust", str(world.trust), "--gross-limit", "1", "--max-tick-age", "unbounded", "--port", port,
        ]  # fmt: skip

        def refused(directory: Path) -> str:
            ended = subprocess.run([*arguments, "--dir", str(directory)], capture_output=True, text=True, timeout=60)
            assert (ended.returncode, ended.stdout) == (2, "")
            assert "Traceback" not in ended.stderr
            (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
            return line

        assert f"another agent runs on {world.root / 'institution'}" in refused(world.root / "institution")
        assert f"port {port} on 127.0.0.1 is in use" in refused(world.root / "elsewhere")


def test_an_agent_whose_pins_are_not_the_operators_ends_with_a_status_of_its_own(plain_world: World) -> None:
    world = plain_world
    pins = json.loads(world.trust.read_text())
    other = world.root / "other.json"
    other.write_text(json.dumps(pins | {"schedule": "0" * 64}))
    with world.serving() as operator:
        arguments = [
            sys.executable, "-m", "atomic_margin", "institution", "serve", "--name", NAME, "--operator", operator.url,
            "--trust", str(other), "--gross-limit", "1", "--max-tick-age", "unbounded",
            "--port", str(free_port()), "--dir", str(world.root / "institution"),
        ]  # fmt: skip
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 3
    assert "the operator's schedule is not the pinned one" in ended.stderr
    assert "then start the agent again" in ended.stderr
    assert "Traceback" not in ended.stderr
