"""Compile the contracts by the pinned compiler, and write what is committed: `--check` compares instead.

Needs node, and what `make contracts` installs. Exit status 1 if something committed is not what the sources make, 3 if
there is no compiler.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from atomic_margin.contracts.artifact import COMPILED, CONTRACTS, SOURCES

ROOT = Path(__file__).resolve().parents[1]
SOLC = ROOT / "node_modules" / "solc"
NO_COMPILER = 3
SETTINGS: dict[str, Any] = {
    "evmVersion": "prague",
    "optimizer": {"enabled": True, "runs": 10_000},
    "viaIR": True,
    # Nothing but the sources and these settings decides the code.
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}
_RUN = (
    "const solc = require(process.argv[1]);"
    "process.stdout.write(JSON.stringify({version: solc.version(),"
    "output: JSON.parse(solc.compile(require('fs').readFileSync(0, 'utf8')))}))"
)


def sources_of(name: str, folder: Path) -> dict[str, str]:
    """Return the text of a source and of all that it imports, by file name."""
    found: dict[str, str] = {}
    waiting = [f"{name}.sol"]
    while waiting:
        source = waiting.pop()
        if source not in found:
            found[source] = (folder / source).read_text()
            named = re.findall(r'from "(\.\.?/[\w/]+\.sol)"', found[source])
            waiting += [os.path.normpath(Path(source).parent / other) for other in named]
    return dict(sorted(found.items()))


def compile_contract(name: str, folder: Path) -> str:
    """Return what is committed of a contract: JSON."""
    sources, contract = sources_of(name, folder), Path(name).name
    question = {
        "language": "Solidity",
        "sources": {source: {"content": text} for source, text in sources.items()},
        "settings": {**SETTINGS, "outputSelection": {f"{name}.sol": {contract: ["abi", "evm.bytecode.object"]}}},
    }
    # The compiler is asked on its own for each contract: what else is compiled beside it must not matter.
    answer = asked(question)
    problems = [error["formattedMessage"] for error in answer["output"].get("errors", [])]
    if problems:
        # Warnings too: there are none to get used to.
        sys.exit("\n".join(problems))
    made = answer["output"]["contracts"][f"{name}.sol"][contract]
    fields = {
        "name": name,
        "compiler": answer["version"],
        "settings": SETTINGS,
        "sources": {source: hashlib.sha256(text.encode()).hexdigest() for source, text in sources.items()},
        "abi": made["abi"],
        "bytecode": made["evm"]["bytecode"]["object"],
    }
    return json.dumps(fields, indent=1) + "\n"


def asked(question: dict[str, Any]) -> dict[str, Any]:
    """Return the compiler's version and its output (standard JSON); exit if there is no compiler."""
    node = shutil.which("node")
    if node is None or not SOLC.exists():
        print("no compiler: install node, then run `make contracts`", file=sys.stderr)
        sys.exit(NO_COMPILER)
    done = subprocess.run(  # noqa: S603 - the compiler that package.json pins
        [node, "-e", _RUN, str(SOLC)], input=json.dumps(question), capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Compile all contracts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=CONTRACTS, help="contracts, by default all")
    parser.add_argument("--check", action="store_true", help="compare with what is committed, and write nothing")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of the sources")
    parser.add_argument("--print", action="store_true", dest="shown", help="print what would be written, no more")
    given = parser.parse_args()
    different = []
    for name in given.names:
        path, text = COMPILED / f"{name}.json", compile_contract(name, given.sources)
        if given.shown:
            print(text, end="")
        elif not given.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            different.append(path.name)
    if different:
        sys.exit(f"not what the sources make: {', '.join(different)}; run scripts/contracts.py and commit")


if __name__ == "__main__":
    main()
