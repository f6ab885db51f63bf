"""A plugin of pytest that turns conditions of contracts round, one by one, and sees which tests notice.

`flip_branches.py` starts pytest with it. Every test runs once, and it is noted which outcomes it takes; then, for each
outcome, those tests run again until one fails, while the condition says the opposite whenever it would have that
outcome. A check whose refusal never happens is a check that is gone. Nothing is compiled or imported again. In
eth-tester alone.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from branch_probes import COMPILED, FOLDER_VARIABLE, lift_limits, watched_opcodes
from eth.vm.forks.prague.computation import PragueComputation

from atomic_margin.contracts import artifact

WANTED = "wanted.json"
NOTICED = "noticed.json"

_taken: set[int] = set()
_turned: set[int] = set()


def pytest_configure() -> None:
    """Put contracts and the watcher in their places, for this process."""
    artifact.COMPILED = Path(os.environ[FOLDER_VARIABLE]) / COMPILED
    PragueComputation.opcodes = watched_opcodes(_taken, _turned)
    lift_limits()


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run all tests, then those that take an outcome, with its condition turned round."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    wanted: list[int] = json.loads((folder / WANTED).read_text())
    takers: dict[int, list[tuple[float, pytest.Item]]] = {number: [] for number in wanted}
    for item in session.items:
        _taken.clear()
        seconds = _run(session, item, log=True)
        if seconds is None:
            raise session.Failed(f"{item.nodeid} fails without a change")
        for number in _taken & set(takers):
            takers[number].append((seconds, item))
    _forget_what_was_done()
    noticed: dict[int, str | None] = {}
    for number in wanted:
        _turned.add(number)
        # The quickest first.
        tests = [item for _, item in sorted(takers[number], key=lambda one: one[0])]
        noticed[number] = next((item.nodeid for item in tests if _run(session, item, log=False) is None), None)
        _turned.clear()
        said = noticed[number] or f"NOT NOTICED by {len(tests)} tests"
        print(f"{number}: {said}", file=sys.stderr, flush=True)
        (folder / NOTICED).write_text(json.dumps(noticed))
    return True


def _run(session: pytest.Session, item: pytest.Item, *, log: bool) -> float | None:
    """Run a test; return how long it took, None if it failed."""
    reports = runtestprotocol(item, log=log, nextitem=_neighbour(session.items, item))
    return None if any(one.failed for one in reports) else sum(one.duration for one in reports)


def _neighbour(items: Sequence[pytest.Item], item: pytest.Item) -> pytest.Item | None:
    """Return another test, for which the fixtures of session and module are kept."""
    others = [one for one in items if one is not item]
    return next((one for one in others if one.parent is item.parent), others[0] if others else None)


def _forget_what_was_done() -> None:
    """Have everything done anew that tests of vaults otherwise do once a block: it may go another way now."""
    for name, module in list(sys.modules.items()):
        if name.endswith("contracts.vault.chain"):
            module.Chain.once = lambda self, what, deed: deed()  # type: ignore[attr-defined]
