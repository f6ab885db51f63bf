"""Disable the checks of the protocol one by one, and expect a failing test each time: `make mutate`.

Every mutant is one text replaced by another in a copy of the tree, and the tests that are to notice. Exit status 1 if a
mutant survives, or if the tests fail without any.
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
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info", "demo-out")


@dataclass(frozen=True)
class Mutant:
    """One check, disabled.

    Attributes:
        name: the check.
        file: where it is.
        old: its text.
        new: what takes its place.
        tests: a test file.
        chosen: which of its tests, as pytest's -k takes it.
        which: the occurrence of `old`, from 0.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str
    chosen: str
    which: int = 0

    def apply(self, text: str) -> str:
        """Return the mutated text."""
        parts = text.split(self.old)
        if len(parts) < self.which + 2:
            sys.exit(f"{self.name}: {self.file} no longer contains {self.old!r}; update scripts/mutate.py")
        head, tail = self.old.join(parts[: self.which + 1]), self.old.join(parts[self.which + 1 :])
        return head + self.new + tail


ZK, SERVICE, ADVERSARY = "tests/zk/test_", "tests/service/test_", "tests/adversary/test_"
CIRCUITS = "tests/circuits/test_"
VERIFICATION, ATTESTATION, RUNS = (
    "service/protocol/verification.py",
    "service/verifier/attestation.py",
    "service/institution/runs.py",
)
CONTEXT = '                "context": self.context,\n'


def _verification(name: str, old: str, new: str, chosen: str, which: int = 0) -> Mutant:
    return Mutant(name, VERIFICATION, old, new, f"{SERVICE}verification.py", chosen, which)


def _attestation(name: str, old: str, new: str, chosen: str, which: int = 0) -> Mutant:
    return Mutant(name, ATTESTATION, old, new, f"{SERVICE}attestation.py", chosen, which)


def _context(name: str, tests: str) -> Mutant:
    file = f"zk/statements/{name}.py"
    return Mutant(f"{name}: context is absorbed", file, CONTEXT, "", f"{ZK}{tests}.py", "every_context_value")


def _circuit(name: str, file: str, old: str, new: str, tests: str, chosen: str) -> Mutant:
    return Mutant(name, f"circuits/{file}.py", old, new, f"{CIRCUITS}{tests}.py", chosen)


MUTANTS = (
    Mutant("final multiplication", "zk/bits/final.py", "if total != group.identity():", "if False:",
           f"{ZK}sufficiency.py", "negative_row_is_refused"),
    Mutant("proof length", "zk/bits/proof.py", "if len(data) != parameters.proof_bytes:",
           "if len(data) < parameters.proof_bytes:", f"{ZK}proof_encoding.py", "one_byte_more"),
    Mutant("proof version", "zk/bits/proof.py", "if data[0] != PROOF_VERSION:", "if False:",
           f"{ZK}proof_encoding.py", "unknown_versions"),
    Mutant("weights of a batch", "zk/bits/final.py",
           'return powers(group, group.scalar(transcript.challenge("omega")), len(checks))',
           "return [group.scalar(1)] * len(checks)", f"{ZK}batch.py", "two_that_cancel"),
    Mutant("zero challenge", "zk/transcript.py", "if value == 0:", "if False:", f"{ZK}transcript.py", "zero_challenge"),
    Mutant("challenge before a message", "zk/transcript.py", "if not self._fresh:", "if False:",
           f"{ZK}transcript.py", "before_any_message"),
    Mutant("S is absorbed", "zk/bits/challenges.py", '        self._transcript.absorb("S", S)\n', "",
           f"{ZK}binding.py", "every_message_changes"),
    Mutant("mu is absorbed", "zk/bits/challenges.py", '        self._transcript.absorb("mu", mu)\n', "",
           f"{ZK}binding.py", "every_message_changes"),
    Mutant("zero shares of a choice", "zk/verify/breach.py", "if 0 in map(group.integer, shares):", "if False:",
           f"{ZK}breach.py", "zero_shares"),
    _context("portfolio", "binding"),
    _context("sufficiency", "binding"),
    _context("encryption", "encryption"),
    _context("decryption", "decryption"),
    _context("breach", "breach"),
    _verification("submission: signature", "signed.verify(frozenset({identity}))", "pass", "another_signer"),
    _verification("submission: terms", "if getattr(submission, name) != terms.hashes[name]:", "if False:",
                  "submission_with_another_field"),
    _verification("submission: keys", "if submission.key_commitments != keys.hash:", "if False:",
                  "other_keys_than_the_enrolled or submission_with_another_field"),
    _verification("submission: hash of the words",
                  "if hashlib.sha256(ciphertext.to_bytes()).hexdigest() != submission.ciphertext:", "if False:",
                  "another_body or submission_with_another_field"),
    _verification("submission: gross limit",
                  "check_gross_limit(submission.gross_limit, terms.entry_map, terms.profile.bits)", "pass",
                  "does_not_suit"),
    _verification("submission: portfolio proof",
                  "verify_portfolio(terms.portfolio_statement(submission), "
                  "bytes.fromhex(submission.portfolio_proof), group)", "pass", "changed_proof_of_a_submission"),
    _verification("submission: encryption proof",
                  "verify_encryption(statement, bytes.fromhex(submission.encryption_proof), group)", "pass",
                  "changed_proof_of_a_submission"),
    _verification("answer: signature", "signed.verify(frozenset({identity}))", "pass", "another_signer", which=1),
    _verification("answer: about this run", "if getattr(answer, name) != wanted:", "if False:", "something_else"),
    _verification("answer: outcome, flag and top-up",
                  "    _check_outcome(answer, record, matrices, terms)\n", "", "go_together"),
    _verification("answer: sufficiency proof",
                  "verify_sufficiency(statement, bytes.fromhex(answer.sufficiency_proof), group)", "pass",
                  "changed_proof_of_an_answer"),
    _verification("breach: words of the flag",
                  "if flag_words is None or hashlib.sha256(flag_words).hexdigest() != record.outputs.breach:",
                  "if flag_words is None:", "flag_from_other_words"),
    _verification("breach: decryption proof",
                  'verify_decryption(statement, bytes.fromhex(answer.decryption_proof or ""), group)', "pass",
                  "changed_proof_of_an_answer"),
    _verification("breach: breach proof", 'verify_breach(breach, bytes.fromhex(answer.breach_proof or ""), group)',
                  "pass", "changed_proof_of_an_answer"),
    _verification("the verifier's seal", "if seal is not _SEAL:", "if False:", "made_by_hand or made_by_replace"),
    Mutant("settlement: takes verified breaches alone", "service/operator/settlement/hook.py",
           "if not isinstance(breach, VerifiedBreach):", "if False:", f"{SERVICE}verification.py",
           "hook_takes_nothing_else"),
    _attestation("bundle: anchors of the terms",
                 '_require(terms.hashes[name] == getattr(trust, name), name, f"not the {name} of the trust file")',
                 "pass", "another_anchor"),
    _attestation("bundle: tick", "market = verify_tick(tick, trust.prices)", "market = tick.market", "another_anchor"),
    _attestation("bundle: signature of the record", "signed_run.verify(frozenset({trust.operator}))", "pass",
                 "signed_by_a_stranger or another_anchor"),
    _attestation("bundle: pinned keys", "keys.hash in pinned,", "True,", "another_anchor"),
    _attestation("bundle: transfers",
                 "check_transfer(result.top_up_usd, moved, terms.schedule, moves, market, posted=result.record.posted)",
                 "pass", "settles_otherwise"),
    _attestation("bundle: signature of the whole", "signed_bundle.verify(frozenset({trust.operator}))", "pass",
                 "only_the_operator_signs"),
    Mutant("agent: terms of the record", RUNS, '_require_equal(record, {"operator": trust.operator, **terms.hashes})',
           "pass", f"{ADVERSARY}other_function.py", "unpinned_model"),
    Mutant("agent: prices", RUNS, "market = verify_tick(tick, trust.prices)", "market = tick.market",
           f"{ADVERSARY}bisection.py", "operator_changed"),
    Mutant("agent: own matrices", RUNS, "terms.check(matrices, market, record.posted, record.gross_limit)", "pass",
           f"{ADVERSARY}other_function.py", "unpinned_model"),
    Mutant("agent: decrypted flag", RUNS,
           "if flag != run.plaintext_flag or not np.array_equal(surplus[: len(expected)], expected):", "if False:",
           f"{ADVERSARY}chosen_ciphertexts.py", "decrypted_or_withheld"),
    Mutant("agent: one answer to a price", "service/institution/agent.py", "if answered is None:", "if True:",
           f"{ADVERSARY}other_function.py", "asked_twice"),
    _circuit("zoom: reach of the grid", "zoom", "REACH = (1 << GRID_BITS) - 1", "REACH = 1 << GRID_BITS", "zoom",
             "no_reading_of_any_row or multipliers"),
    _circuit("zoom: every level", "zoom", "[*values, box]", "[*values[:-1], box]", "zoom", "no_reading_of_any_row"),
    _circuit("zoom: zero counts as covered", "zoom", "np.where(np.asarray(x) >= 0, 1, -1)",
             "np.where(np.asarray(x) > 0, 1, -1)", "zoom", "first_sign_wins"),
    _circuit("zoom: earlier readings outweigh later ones", "zoom", "_WEIGHTS = (4, 2, 1)", "_WEIGHTS = (4, 1, 2)",
             "zoom", "first_sign_wins"),
    _circuit("zoom: inner joins keep zero", "zoom", "plus_minus if last else ternary", "plus_minus", "zoom",
             "first_sign_wins"),
    _circuit("zoom: boxes of the grid", "zoom", "multiples, bits - GRID_BITS, over",
             "multiples, bits - GRID_BITS - 1, over", "widths", "keep_to_the_grid and small"),
    _circuit("flags: the last row of a group", "any_row", "i * count // groups", "i * (count - 1) // groups",
             "any_row", "joins_any_number"),
    _circuit("flags: no booleans", "any_row", "np.where(np.asarray(x) > 0, 1, 0)", "np.asarray(x) > 0", "traps",
             "adds_booleans and not standard"),
    _circuit("flags: the anchor is multiplied by 0", "row_signs", "[0]) * anchor", "[0]) * (1 - anchor)", "any_row",
             "anchor_never_shows"),
    _circuit("exceedances: as many as allowed", "programs/exceedances", "left = allowed - np.sum",
             "left = allowed - 1 - np.sum", "any_row", "counts_any_number"),
    _circuit("shortfall: the odd row's bracket", "programs/shortfall", "else right[-1] for slot",
             "else False for slot", "shortfall", "brackets"),
    _circuit("shortfall: the sign bit turns the comparison", "programs/shortfall", "[right[0] - left[0],",
             "[left[0] - right[0],", "shortfall", "least_row"),
    _circuit("shortfall: one more than the complement", "programs/shortfall",
             "limbs[0] = limbs[0] + values[bits - 1 :]", "limbs[0] = limbs[0] + 0", "shortfall", "every_limb"),
    _circuit("limbs: one more than the complement", "limbs", "    limbs[0] += positive\n", "", "shortfall",
             "limbs_join"),
    _circuit("inputs: lowest weight", "inputs", "weight_top - 1, -weight_top", "weight_top - 1, 1 - weight_top",
             "widths", "keep_to_the_grid and small"),
    _circuit("parameters: noise of the keys", "security", "if deviation < least_deviation(dimension) - _TOLERANCE:",
             "if False:", "security", "less_noise or before_it_makes_keys"),
    _circuit("parameters: noise of the encryption of z", "security", "if ciphertext is not None:", "if False:",
             "security", "encryption_of_z"),
    _circuit("parameters: failure probability", "compiling", "if statistics.p_error > 2.0**profile.log2_p_error:",
             "if False:", "cache", "checked_like"),
    _circuit("parameters: pinned", "compiling", "if derived != layout_of(profile).client_specs_sha256:", "if False:",
             "profile", "other_parameters"),
    _circuit("parameters: nothing of research", "compiling", "if circuit_by_name(name).research_only:", "if False:",
             "profile", "research_circuit"),
    _circuit("cache: writable by others", "cache", "status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)", "False", "cache",
             "others_may_write"),
    _circuit("cache: whole or nothing", "cache", "complete = Path(temporary) / \"entry\"", "complete = place", "cache",
             "while_storing"),
    _circuit("clear inputs: width", "clear_inputs", "if len(outside):", "if False:", "profile", "would_wrap"),
)  # fmt: skip


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
    path = tree / mutant.file
    text = path.read_text()
    path.write_text(mutant.apply(text))
    try:
        yield
    finally:
        path.write_text(text)


def main() -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="only mutants whose name contains one of these")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.names or any(name in mutant.name for name in options.names)]
    for mutant in chosen:
        mutant.apply((ROOT / mutant.file).read_text())
    started, trees = time.monotonic(), Queue[Path]()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        for number in range(options.jobs):
            trees.put(shutil.copytree(ROOT, Path(folder) / str(number), symlinks=True, ignore=LEFT_OUT))

        def judge(mutant: Mutant | None) -> tuple[str, str, float]:
            tree, began = trees.get(), time.monotonic()
            try:
                if mutant is None:
                    files = sorted({one.tests for one in chosen})
                    # Any test that some mutant counts on; more may match, none is left out.
                    wanted = " or ".join(sorted({f"({one.chosen})" for one in chosen}))
                    return (*pytest(tree, [*files, "-m", "not slow", "-k", wanted], {}), time.monotonic() - began)
                with mutated(tree, mutant):
                    # A mutated circuit has the same hash: it must neither fill nor use the cache of compiled modules.
                    extra = {"ATOMIC_MARGIN_CACHE": "off"} if mutant.file.startswith("circuits/") else {}
                    arguments = [mutant.tests, "-m", "not slow", "-k", mutant.chosen]
                    return (*pytest(tree, arguments, extra), time.monotonic() - began)
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
