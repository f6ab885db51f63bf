"""Ports for what a demonstration starts: nobody else is given them, and none that is taken is returned."""

import socket
from contextlib import ExitStack

import pytest

from atomic_margin.service.demo import processes
from atomic_margin.service.demo.processes import PORTS, free_port
from atomic_margin.service.errors import ConfigurationError


def test_a_port_is_free_and_not_returned_again_soon() -> None:
    drawn = [free_port() for _ in range(100)]
    assert len(set(drawn)) == 100
    assert all(port in PORTS for port in drawn)
    # Where Linux begins to give ports to who asks for any.
    assert PORTS[-1] < 32_768
    socket.create_server(("127.0.0.1", drawn[-1])).close()


def test_what_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    with ExitStack() as stack:
        few = range(first, first + 3)
        monkeypatch.setattr(processes, "PORTS", few)
        held = [free_port() for _ in few]
        assert sorted(held) == list(few)
        for port in held[:2]:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        assert [free_port() for _ in range(4)] == [held[2]] * 4
        stack.enter_context(socket.create_server(("127.0.0.1", held[2])))
        with pytest.raises(ConfigurationError, match=f"all ports from {first} to {first + 2} .* are taken: stop"):
            free_port()
