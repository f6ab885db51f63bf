"""Disable the checks of the protocol one by one, and expect a failing test each time: `make mutate`.

Every mutant is one node of the syntax tree of one function, replaced in a copy of the tree, and the tests that are to
notice (`mutants.py`). Exit status 1 if a mutant survives, or if the tests fail without any; 2 if a function, node or
test that a mutant names is not there any more. `--check` looks for that alone, and runs no test.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

from mutant import Mutant, NotFound
from mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info", "demo-out", "node_modules"
)


def pytest(tree: Path, tests: list[str], extra: dict[str, str]) -> tuple[str, str]:
    """Run tests in a copy of the tree; return `passed`, `failed` or `broken`, and pytest's last lines."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1", **extra}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our interpreter
    # An error in a fixture would be no test that noticed anything.
    outcome = "passed" if done.returncode == 0 else "failed" if re.search(r"\d+ failed", done.stdout) else "broken"
    return outcome, "\n".join((done.stdout + done.stderr).splitlines()[-12:])


@contextmanager
def mutated(tree: Path, mutant: Mutant) -> Iterator[None]:
    """Have the mutant in the tree for the length of the block."""
    path = mutant.file(tree)
    text = path.read_text()
    path.write_text(mutant.apply(text))
    try:
        yield
    finally:
        path.write_text(text)


def problems(mutants: list[Mutant]) -> list[str]:
    """Return what is in the way of making and noticing these mutants, in sentences."""
    found = []
    for mutant in mutants:
        try:
            mutant.apply(mutant.file(ROOT).read_text())
        except (NotFound, OSError) as error:
            found.append(f"{mutant.name}: {error}; update scripts/mutants.py")
        for test in mutant.tests:
            file, _, function = test.partition("::")
            name = function.partition("[")[0]
            if f"\ndef {name}(" not in (ROOT / file).read_text():
                found.append(f"{mutant.name}: there is no test {test}; update scripts/mutants.py")
    return found


def main() -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only mutants whose name contains one of these")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--check", action="store_true", help="only whether every mutant can be made")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.names or any(name in mutant.name for name in options.names)]
    lost = problems(chosen)
    for problem in lost:
        print(problem, file=sys.stderr)
    if lost or not chosen:
        return 2
    if options.check:
        print(f"{len(chosen)} mutants can be made")
        return 0
    started, trees = time.monotonic(), Queue[Path]()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        for number in range(options.jobs):
            tree = Path(folder) / str(number)
            shutil.copytree(ROOT, tree, symlinks=True, ignore=LEFT_OUT)
            if (ROOT / "node_modules").exists() and not (tree / "node_modules").exists():
                # Tests on a chain look for anvil there.
                (tree / "node_modules").symlink_to(ROOT / "node_modules")
            trees.put(tree)

        def judge(mutant: Mutant | None) -> tuple[str, str, float]:
            tree, began = trees.get(), time.monotonic()
            try:
                if mutant is None:
                    wanted = sorted({test for one in chosen for test in one.tests})
                    return (*pytest(tree, [*wanted, "-m", "not slow"], {}), time.monotonic() - began)
                with mutated(tree, mutant):
                    # A mutated circuit has the same hash: it must neither fill nor use the cache of compiled modules.
                    extra = {"ATOMIC_MARGIN_CACHE": "off"} if mutant.place.startswith("circuits.") else {}
                    return (*pytest(tree, [*mutant.tests, "-m", "not slow"], extra), time.monotonic() - began)
            finally:
                trees.put(tree)

        outcomes = []
        with ThreadPoolExecutor(options.jobs) as pool:
            for number, (mutant, result) in enumerate(
                zip([None, *chosen], pool.map(judge, [None, *chosen]), strict=True)
            ):
                outcome, tail, seconds = result
                good = outcome == ("passed" if mutant is None else "failed")
                name = "no mutant" if mutant is None else mutant.name
                verdict = {"passed": "survived", "failed": "killed"}.get(outcome, outcome)
                shown = verdict if mutant is not None else "tests pass" if good else "tests fail"
                print(f"[{number:2}/{len(chosen)}] {shown:10} {seconds:5.0f} s  {name}", flush=True)
                if not good:
                    print(tail, flush=True)
                outcomes.append(good)
    bad = outcomes.count(False)
    print(f"{len(chosen)} mutants, {bad} not as it should be, {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
