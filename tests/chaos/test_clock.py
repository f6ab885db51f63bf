"""Clocks that jump by hours under a running operator and a running agent: nothing freezes, nothing runs backwards.

The machine's clock is left alone. Debian's libfaketime shows the processes another one, which a file sets while they
run; clocks that only count go on as they are.
"""

import glob
import time
from itertools import pairwise
from pathlib import Path

import pytest

from atomic_margin.documents.strict import instant

from ..e2e.harness import World
from .house import NAME, open_house
from .moments import MOMENTS, random_of
from .stories import ENDS, calm, sending, verdict, watching
from .untried import skip

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

JUMPS = ("+2h", "-3h", "+40m", "-1h", "+26h", "-30h")


def library() -> str:
    """Return where libfaketime is; skip the test, loudly, where it is not installed."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + glob.glob("/usr/lib/faketime/libfaketimeMT.so.1")
    if not found:
        skip("a clock that jumps", "on Debian, apt-get install libfaketime")
    return found[0]


def environment(file: Path) -> dict[str, str]:
    file.write_text("+0")
    return {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }


def test_clocks_of_both_sides_jump_at_moments_of_runs(plain_world: World) -> None:
    choices = random_of("clock")
    files = {name: plain_world.root / f"{name}.clock" for name in ("operator", "agent")}
    both = {name: environment(file) for name, file in files.items()}
    with open_house(plain_world, environment=both["operator"], agent_environment=both["agent"], fresh=True) as house:
        calm(house)
        for number, jump in enumerate(JUMPS, 2):
            falling = number % 2 == 0 and house.falling()
            moment = choices.choice([one for one in MOMENTS if one.falling in (None, falling)])
            wait, run_id = watching(house), f"{NAME}.{number}"
            whose = choices.choice([["operator"], ["agent"], ["operator", "agent"]])
            with sending(house):
                wait(moment, run_id)
                for name in whose:
                    files[name].write_text(jump)
                time.sleep(0.2)
            print(f"{run_id}: the clock of {' and '.join(whose)} set to {jump} after {moment.name}")
            print(f"{run_id}: {house.wait_over(number, ENDS)}")
        for file in files.values():
            file.write_text("+0")
        calm(house, 2)
        judged = verdict(house)
        assert house.operator.starts == house.agent.starts == 1
    seen = judged()
    times = [instant(entry.body["entered_at"]) for entry, _ in seen.entries]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert "jumped by" in house.operator.log.read_text()
