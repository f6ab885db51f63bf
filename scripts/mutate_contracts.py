"""Disable the checks of vaults, oracle and resolver one by one, and expect a failing test each time.

Every `if (...) revert` of the sources below, every modifier of a function and every statement that a mutant names is
taken out in a copy of the tree, which is compiled anew. Exit status 1 if a mutant survives, or if the tests fail
without any. Needs node, and what `make contracts` installs. `--list` runs nothing; `--only PATTERN` tries those whose
names have it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from atomic_margin.contracts.artifact import COMPILED, CONTRACTS, load_artifact

ROOT = Path(__file__).resolve().parents[1]
SOLIDITY = Path("contracts/solidity")
SOURCES = (
    "Attestations",
    "AttestedVault",
    "CollateralPayment",
    "CollateralVault",
    "DecryptionContract",
    "HeldToken",
    "KeyLock",
    "MarginDecision",
    "MatrixOracle",
    "PartsVault",
    "PointerResolver",
    "TwoChains",
    "Vault",
)
TESTS = ("tests/contracts/vault", "tests/contracts/two_chains")
NO_COMPILER = 3
CHOSEN = "not slow"
FIRST = {
    "AttestedVault": ("test_attested.py",),
    "CollateralPayment": ("test_payment.py",),
    "CollateralVault": ("test_vault.py", "test_settle.py", "test_tokens.py"),
    "DecryptionContract": ("test_margin_decision.py", "test_payment.py"),
    "HeldToken": ("test_tokens.py",),
    "KeyLock": ("test_key_lock.py", "test_lock_tokens.py"),
    "MarginDecision": ("test_margin_decision.py",),
    "MatrixOracle": ("test_oracle.py",),
    "TwoChains": ("test_key_lock.py", "test_margin_decision.py", "test_faults.py"),
    "PointerResolver": ("../test_pointer_resolver.py",),
    "PartsVault": ("test_parts.py",),
    "Vault": ("test_settle.py",),
}
"""Tests that are likely to notice, and run before the others."""
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "demo-out")
MODIFIERS = ("nonReentrant", "whenNotPaused", "onlyOperator")
STATEMENTS = (
    ("CollateralVault", "held.sequence = document.sequence;"),
    ("CollateralVault", "held.tick = tick;"),
    ("CollateralVault", "pausedSeconds += uint64(block.timestamp) - pausedSince;"),
    ("CollateralVault", "_useCap(moved);"),
    ("CollateralVault", "held.posted = 0;"),
    ("CollateralVault", "holderOf[document.commitments] = document.account;"),
    ("CollateralVault", "oracle.checkRelease(document, signatures);"),
    ("CollateralVault", "oracle.checkPortfolio(document, signatures);"),
    ("DecryptionContract", "transfer.state = TransferState.Deciding;"),
    ("HeldToken", "_entered = false;"),
    ("KeyLock", "lock.state = LockState.Canceled;"),
    ("KeyLock", "lock.state = LockState.Claimed;"),
    ("KeyLock", "lock.state = LockState.Reclaimed;"),
    ("KeyLock", "_requireHash(hashed, encoded);"),
    ("KeyLock", "_requireHash(keyHashedSeller, keyEncryptedSeller);"),
    ("MatrixOracle", "last = signer;"),
    ("TwoChains", "next = holder + 1;"),
    ("PartsVault", "_openRun(run);"),
    ("PartsVault", "_requireAttested(attestation, signatures);"),
    ("PartsVault", "_requireHolds(name, Claim.Breach, breachSlices, breachSum);"),
    ("PartsVault", "_requireHolds(name, Claim.TopUp, topUpSlices, topUpSum);"),
    ("PartsVault", "delete _recorded[part];"),
    ("PartsVault", "if (part == bytes32(0)) return;"),
    ("Vault", "oracle.checkMatrices(attestation, signatures);"),
)
"""Statements that security rests on, besides checks."""


class Mutant(NamedTuple):
    """One change of one source."""

    name: str
    source: str
    start: int
    end: int
    new: str

    def apply(self, text: str) -> str:
        """Return the source with the change."""
        return text[: self.start] + self.new + text[self.end :]


def mutants() -> Iterator[Mutant]:
    """Yield every change."""
    for source in SOURCES:
        text = (ROOT / SOLIDITY / f"{source}.sol").read_text()
        for found in re.finditer(r"\bif \(", text):
            end = _closed(text, found.end())
            after = re.match(r"\)\s*\{?\s*revert (\w+)", text[end:])
            if after is not None:
                where = f"{source}:{text.count(chr(10), 0, found.start()) + 1}"
                for start, stop in _alternatives(text, found.end(), end):
                    name = f"{where} {after[1]}: {' '.join(text[start:stop].split())}"
                    yield Mutant(name, source, start, stop, "false")
        for modifier in MODIFIERS:
            for found in re.finditer(rf"(?<=\s){modifier}(?=\s)", text):
                if not text[: found.start()].endswith("modifier "):
                    line = text.count(chr(10), 0, found.start()) + 1
                    yield Mutant(f"{source}:{line} {modifier}", source, found.start(), found.end(), "")
    for source, statement in STATEMENTS:
        text = (ROOT / SOLIDITY / f"{source}.sol").read_text()
        found_at = [found.start() for found in re.finditer(re.escape(statement), text)]
        if not found_at:
            raise SystemExit(f"{source}: there is no `{statement}` any more; update scripts/mutate_contracts.py")
        for start in found_at:
            line = text.count(chr(10), 0, start) + 1
            yield Mutant(f"{source}:{line} {statement}", source, start, start + len(statement), "")


def _closed(text: str, start: int) -> int:
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise AssertionError("a parenthesis is never closed")


def _alternatives(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return where the alternatives of a condition are: each is taken out on its own."""
    depth, places, begun = 0, [], start
    for place in range(start, end):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0 and text.startswith("||", place):
            places.append((begun, place))
            begun = place + 2
    return [*places, (begun, end)]


def tried(tree: Path, source: str | None = None) -> tuple[bool, str]:
    """Compile what is made of a source and run the tests; return whether they pass, and the last lines."""
    compiling = [[sys.executable, "scripts/contracts.py", *made_of(source)]] if source else []
    testing = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-m", CHOSEN]
    first = [f"{folder}/{name}" for name in FIRST.get(source or "", ()) for folder in TESTS]
    testing += [one for one in first if (tree / one).exists()] + [*TESTS]
    for command in (*compiling, testing):
        done = subprocess.run(  # noqa: S603 - our interpreter
            command, cwd=tree, env=_environment(tree), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            break
    last = "\n".join((done.stdout + done.stderr).splitlines()[-6:])
    if done.returncode == NO_COMPILER and command is not testing:
        raise SystemExit(last)
    # The compiler's warnings are errors, and a check that is gone may leave something unused: that is noticed too.
    if done.returncode != 0 and command is testing and not re.search(r"\d+ failed", done.stdout):
        raise SystemExit(f"neither passed nor failed:\n{last}")
    return done.returncode == 0, last


def made_of(source: str) -> list[str]:
    """Return the contracts that a source is part of."""
    return [name for name in CONTRACTS if f"{source}.sol" in load_artifact(name).sources]


def _environment(tree: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": f"{tree / 'src'}:{os.environ.get('PYTHONPATH', '')}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def main() -> None:
    """Try all mutants."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the mutants, and run nothing")
    parser.add_argument("--only", default="", help="a pattern in the name of those that are wanted")
    arguments = parser.parse_args()
    wanted = [mutant for mutant in mutants() if re.search(arguments.only, mutant.name)]
    if arguments.list:
        print("\n".join(mutant.name for mutant in wanted))
        return
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, symlinks=True, ignore=LEFT_OUT)
        (tree / "node_modules").symlink_to(ROOT / "node_modules")
        passed, last = tried(tree)
        if not passed:
            raise SystemExit(f"the tests fail without a mutant:\n{last}")
        for mutant in wanted:
            path = tree / SOLIDITY / f"{mutant.source}.sol"
            text = path.read_text()
            path.write_text(mutant.apply(text))
            passed, _ = tried(tree, mutant.source)
            path.write_text(text)
            shutil.copytree(COMPILED, tree / COMPILED.resolve().relative_to(ROOT), dirs_exist_ok=True)
            print(f"{'SURVIVED' if passed else 'noticed '}  {mutant.name}", flush=True)
            survived += [mutant.name] if passed else []
    print(f"{len(wanted)} mutants, {len(survived)} survived")
    sys.exit(bool(survived))


if __name__ == "__main__":
    main()
