"""MPyC as the engine's process has it: seen in processes of their own, since it changes what it is loaded into."""

import subprocess
import sys

import pytest

PRELUDE = """
import asyncio, pickle, sys
from atomic_margin.service.custodian.engine.guarded import *
asyncio.set_event_loop(asyncio.new_event_loop())
runtime, field = make_runtime(0, [None], 0)
library = sys.modules["mpyc.runtime"]
class Bomb:
    def __reduce__(self):
        return print, ("it went off",)
bomb = pickle.dumps(Bomb())
def refused(call):
    try:
        call()
    except RefusedHere:
        print("refused")
"""


def printed(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, "--HELP", "-M3"], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.parametrize(
    "call",
    [
        "library.pickle.loads(bomb)",
        "library.pickle.dumps(1)",
        "runtime.transfer(1)",
        "runtime.start()",
        "runtime.shutdown()",
    ],
)
def test_mpyc_neither_unpickles_nor_meets(call: str) -> None:
    assert printed(f"refused(lambda: {call})") == "refused\n"


def test_without_the_guard_it_goes_off() -> None:
    assert printed("pickle.loads(bomb)") == "it went off\n"


@pytest.mark.parametrize(
    "call",
    [
        "pickle.loads(bomb)",
        "pickle._loads(bomb)",
        "__import__('os').system('echo it went off')",
        "__import__('subprocess').run(['echo', 'it went off'])",
        "__import__('os').posix_spawn('/bin/echo', ['echo', 'it went off'], {})",
        "__import__('os').fork()",
    ],
)
def test_a_closed_process_unpickles_and_starts_nothing(call: str) -> None:
    assert printed(f"import subprocess\nclose_process()\nrefused(lambda: {call})") == "refused\n"


def test_mpyc_has_no_arrays_and_read_no_arguments() -> None:
    code = "print(library.np, hasattr(field, 'array'), len(library.mpc.parties), sys.argv)"
    assert printed(code) == "None False 1 ['-c', '--HELP', '-M3']\n"


def test_what_mpyc_unpickles_is_what_the_guard_replaces() -> None:
    """A version that reads peers' bytes elsewhere fails here before it is believed."""
    code = """
import pathlib, re
for path in sorted(pathlib.Path(library.__file__).parent.glob("*.py")):
    for line in path.read_text().splitlines():
        if re.search(r"\\b(pickle|marshal|shelve|dill)\\.|\\bimport (pickle|marshal|shelve|dill)|\\bexec\\(", line):
            print(path.name, line.strip())
print(library.mpyc.__version__)
"""
    assert printed(code).splitlines() == [
        "runtime.py import pickle",
        "runtime.py indata = pickle.dumps(obj)",
        "runtime.py outdata = list(map(pickle.loads, outdata))",
        *["runtime.py marshal = pickle.dumps", "runtime.py unmarshal = pickle.loads"] * 3,
        "0.11",
    ]
