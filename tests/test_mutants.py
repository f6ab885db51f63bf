"""The mutants of `make mutate` follow the code: each can be made, and what it names that is gone is said."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"


@pytest.mark.long
def test_every_mutant_can_be_made_and_its_tests_exist() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "mutate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1064 mutants can be made\n"


def test_what_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from mutant import RETURNED, Mutant, NotFound, call, condition

    code = "class A:\n    def f(self, x):\n        if x.é:\n            g(x)\n        return x\n"

    def mutated(place: str, node: object, new: str = "False") -> str:
        return Mutant("name", place, node, new, ()).apply(code)

    assert mutated("m:A.f", condition("é")) == code.replace("x.é", "False")
    assert mutated("m:A.f", call("g"), "None") == code.replace("g(x)", "None")
    for place, node, said in (
        ("m:A.gone", RETURNED, "m:A.gone is not there"),
        ("m:A.f", call("verify"), "there are 0 nodes like"),
        ("m:A.f", condition("y"), "there are 0 nodes like"),
    ):
        with pytest.raises(NotFound, match=said):
            mutated(place, node)
    with pytest.raises(NotFound, match="already"):
        mutated("m:A.f", RETURNED, "x")
