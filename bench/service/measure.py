"""One account at one size, measured: every step of both parties with real ciphertexts and proofs, in this process.

    for name in DEFAULT_PROFILES: measure(profile_by_name(name))

The universe fills the profile's columns, and the model its rows (`listing`). The worker that evaluates is a process of
its own, as in the service; everything else, HTTP and databases left out, runs here. Times are wall time in seconds.
"""

import hashlib
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from atomic_margin.bench.environment import command_line, environment
from atomic_margin.bench.fhe.errors import Disagreement
from atomic_margin.bench.service.listing import GROSS_LIMIT, cash_schedule, listing_for, scan_model
from atomic_margin.bench.service.proofs import prove_answers
from atomic_margin.circuits.compiling import compile_profile
from atomic_margin.circuits.profile import Profile
from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.worker import KeyFile
from atomic_margin.margin.market.entries import RADIX_BITS
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.service.institution.gains import Priced, gain_at
from atomic_margin.service.institution.openings import KeyOpenings, commit_keys
from atomic_margin.service.institution.submissions import CommittedBook, make_submission
from atomic_margin.service.protocol.ceilings import require_provable
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.statements import gain_statement
from atomic_margin.service.protocol.submissions import USUAL_ALLOWANCES
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.service.protocol.verification import verify_submission
from atomic_margin.zk.generators import MAX_GENERATORS, load_generators
from atomic_margin.zk.groups import load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

Figures = dict[str, Any]
Say = Callable[[str], None]

DEFAULT_PROFILES = ("256x24x24", "1024x64x24", "4096x64x24")
FUNCTIONS = ("surplus", "breach")
RUNS = 3
POSTED = {"USDC": 5_000_000 * 10**6}
"""More than the book requires; without it, the book is short."""

_CONTEXT = {"institution": "example"}
_HASH = "00" * 32


@dataclass
class _Clock:
    """Seconds by step, as they pass."""

    say: Say
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        self.say(what)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def measure(profile: Profile, say: Say = lambda _: None, runs: int = RUNS) -> Figures:
    """Return the figures of one account under `profile`.

    Args:
        profile: a published one.
        say: told what is going on.
        runs: evaluations, of which the fastest counts.

    Raises:
        ConfigurationError: what the profile takes cannot be proven.
        Disagreement: a ciphertext decrypted to something else than plain integers give.
        FheError, ProofError: a step of the protocol failed.
    """
    require_provable(profile)
    clock = _Clock(say)
    with clock.step("compile_or_load_s", "compiling, or loading from the cache"):
        compiled = compile_profile(profile)
    with clock.step("keygen_s", "making keys"):
        keys = InstitutionKeys.generate(profile)
    evaluation_keys = keys.evaluation_keys()

    with clock.step("terms_s", "reading model, universe and schedule"):
        listing = listing_for(profile)
        terms = Terms.parse(scan_model(profile.rows), listing.universe(), cash_schedule(), profile)
        account = AccountColumns(terms.universe.hash(), GROSS_LIMIT)
        columns = terms.columns(account)
    z = terms.encode(Portfolio.parse(listing.portfolio()), account)

    with clock.step("generators_s", "decoding generators"):
        load_generators(load_group(), MAX_GENERATORS)
    openings, upload, ciphertext, book = _submit(clock, terms, account, keys, z)

    market = Market.parse(listing.market())
    with clock.step("tick_rows_s", "compiling the rows of a tick"):
        rows = terms.rows(market, account.universe)
    with clock.step("tick_matrices_s", "compiling the matrices of an account"):
        covered = terms.matrices(rows, terms.collateral(market, POSTED), account)
    short = terms.matrices(rows, terms.collateral(market, {}), account)

    flag = _evaluate(clock, keys, evaluation_keys, ciphertext, (covered, short), z, runs)
    answers = prove_answers(clock.step, terms, (covered, short), book, openings, flag)
    return {
        "profile": profile.name,
        "entries": profile.entries,
        "rows": profile.rows,
        "bits": profile.bits,
        "weight_bits": profile.weight_bits,
        "instruments": listing.instruments,
        "columns": len(columns),
        "entry_bits": RADIX_BITS,
        "compile_s": compiled.seconds,
        "from_cache": compiled.from_cache,
        "evaluation_key_bytes": len(evaluation_keys),
        "runs": runs,
        **clock.seconds,
        **upload,
        **answers,
        # Of the largest process that has ended: the worker.
        "worker_peak_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        **environment(command_line()),
    }


def _submit(
    clock: _Clock, terms: Terms, account: AccountColumns, keys: InstitutionKeys, z: Integers
) -> tuple[KeyOpenings, Figures, bytes, CommittedBook]:
    """Make a submission as the agent does and verify it as the operator does."""
    secret, identity, operator = bytes(32), Identity.generate(), Identity.generate()
    with clock.step("commit_keys_s", "committing to the keys"):
        openings = commit_keys(keys, secret, _CONTEXT)
    values = tuple(z.tolist())
    with clock.step("commit_s", "committing to the entries"):
        book = CommittedBook(values, *commit_values(values, secret, _CONTEXT))
    stages: list[tuple[str, float]] = []

    def stage(name: str) -> None:
        clock.say(name)
        stages.append((name, time.perf_counter()))

    addressed = {
        "institution": "example", "operator": operator.public_key, "sequence": "1", "entry": _HASH, "nonce": _HASH,
        "evaluation_keys": _HASH,
    }  # fmt: skip
    before_any = Priced(0, _HASH, None)
    submission = make_submission(
        addressed, account, terms, book, keys, openings, lambda _: None, stage,
        lambda claim, own: gain_at(before_any, USUAL_ALLOWANCES.submission, terms, claim, own, None),
    )  # fmt: skip
    stage("signing")
    signed = submission.signed_by(identity)
    names = ("encrypt_s", "prove_portfolio_s", "prove_encryption_s", "prove_gain_s")
    for key, (_, begin), (_, end) in zip(names, stages, stages[1:], strict=False):
        clock.seconds[key] = end - begin
    clock.seconds["prove_submission_s"] = sum(clock.seconds[name] for name in names[1:])

    group = load_group()
    with clock.step("verify_submission_s", "verifying the submission"):
        ciphertext = verify_submission(signed, submission, terms, identity.public_key, openings.pair, group)
        statement = gain_statement(submission, submission.gain, None, terms, None)
        verify_sufficiency(statement, bytes.fromhex(submission.gain_proof), group)
    proofs = (submission.portfolio_proof, submission.encryption_proof, submission.gain_proof)
    upload = {
        "submission_bytes": len(canonical_bytes(signed.to_json())),
        "submission_proof_bytes": sum(len(proof) // 2 for proof in proofs),
        "ciphertext_bytes": len(ciphertext.to_bytes()),
    }
    return openings, upload, ciphertext.to_bytes(), book


def _evaluate(
    clock: _Clock,
    keys: InstitutionKeys,
    evaluation_keys: bytes,
    ciphertext: bytes,
    matrices: tuple[RunMatrices, RunMatrices],
    z: Integers,
    runs: int,
) -> bytes:
    """Evaluate a covered account and then a short one, in a worker; return the words of the second one's flag."""
    profile, flag = keys.profile, b""
    found: dict[str, list[float]] = {name: [] for name in FUNCTIONS}
    with tempfile.TemporaryDirectory(prefix="atomic-margin-bench-") as folder, Evaluator(profile) as evaluator:
        path = Path(folder) / "evaluation.keys"
        path.write_bytes(evaluation_keys)
        key_file = KeyFile(path, hashlib.sha256(evaluation_keys).hexdigest(), keys.known_answer_input())
        with clock.step("worker_start_s", "starting a worker"):
            evaluator.start()
        with clock.step("expand_keys_s", "reading and expanding evaluation keys"):
            evaluator.warm_up(key_file, FUNCTIONS)
        for expected, run in ((0, matrices[0]), (1, matrices[1])):
            matrix = run.maintenance_fhe
            A, c = matrix.padded(profile.rows, profile.entries, profile.bits)
            for number in range(runs):
                clock.say(f"evaluating, run {number + 1} of {runs}")
                evaluation = evaluator.evaluate(key_file, ciphertext, A, c, FUNCTIONS)
                for name in FUNCTIONS:
                    found[name].append(evaluation.seconds[name])
            flag = evaluation.outputs["breach"]
            with clock.step("decrypt_s", "decrypting"):
                surplus = keys.decrypt("surplus", evaluation.outputs["surplus"]).values
                decrypted = keys.decrypt("breach", flag).values
            plain = A[:, : len(z)] @ z + c
            if decrypted.tolist() != [expected] or not np.array_equal(surplus, plain):
                raise Disagreement(f"profile {profile.name}: ciphertexts do not decrypt to what integers give")
    clock.seconds |= {f"evaluate_{name}_s": min(seconds) for name, seconds in found.items()}
    return flag
