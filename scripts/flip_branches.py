"""Turn conditions of vaults and oracle round, each outcome on its own, and expect a failing test each time.

The contracts are compiled once, with the probes of `coverage_contracts.py`, and the tests run in one process
(`branch_flips.py`), so that hundreds of changes take minutes. What no test notices is named by file and line. Exit
status 1 if there is any; 2 if the tests fail without a change;
3 if there is no compiler. `mutate_contracts.py` compiles what it changes, and takes out statements too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from branch_flips import NOTICED, WANTED
from branch_probes import COMPILED, FOLDER_VARIABLE
from coverage_contracts import FAILED, MISSED, ROOT, compiled, probed, texts, write_into

from atomic_margin.contracts.artifact import CONTRACTS, SOURCES

TESTS = "tests/contracts/vault"
FLIPPED = ("true", "false")
OF_THE_VERIFIER = ("BitArgument", "Field", "Generators", "MarginVerifier", "Pairs", "Statement", "Transcript")
"""Sources whose tests run on anvil: test_weakened.py changes them."""


def main() -> None:
    """Try all outcomes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", default=[TESTS], help="files or folders of tests")
    parser.add_argument("-m", dest="chosen", default="not slow and not long", help="marks of tests")
    parser.add_argument("--only", default="", help="sources whose names begin so")
    given = parser.parse_args()
    made = probed(texts(SOURCES))
    wanted = [
        number
        for number, one in enumerate(made.outcomes)
        if one.outcome in FLIPPED and "assembly" not in one.kind and one.source.startswith(given.only)
        if Path(one.source).stem not in OF_THE_VERIFIER
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_into(folder / COMPILED, compiled(made.sources, CONTRACTS))
        (folder / WANTED).write_text(json.dumps(wanted))
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "branch_flips"]
        paths = [str(ROOT / "scripts"), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(  # noqa: S603 - our interpreter
            [*command, "--timeout", "0", "-m", given.chosen, *given.tests],
            cwd=ROOT,
            env={**os.environ, FOLDER_VARIABLE: temporary, "PYTHONPATH": os.pathsep.join(paths)},
            check=False,
        )
        noticed = json.loads((folder / NOTICED).read_text()) if (folder / NOTICED).exists() else {}
    if done.returncode != 0 or len(noticed) != len(wanted):
        sys.exit(FAILED)
    survived = [made.outcomes[int(number)] for number, test in noticed.items() if test is None]
    for one in survived:
        print(f"NOT NOTICED: {one.source}:{one.line}: {one.function}: {one.kind} `{one.text}` never {one.outcome}")
    print(f"{len(wanted)} outcomes turned round, {len(survived)} not noticed")
    sys.exit(MISSED if survived else 0)


if __name__ == "__main__":
    main()
