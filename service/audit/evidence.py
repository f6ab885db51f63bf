"""What a stored run rests on, checked step by step, and from it everything that is needed to evaluate it again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits.profile import Profile
from atomic_margin.fhe.worker import KeyFile
from atomic_margin.margin.errors import MatrixMismatch
from atomic_margin.margin.market.market import Market
from atomic_margin.service.audit.errors import (
    AnchorMissing,
    BytesMissing,
    MatricesMismatch,
    RecordInconsistent,
    RunNotEvaluated,
)
from atomic_margin.service.audit.stored import ReadOnlyStore, StoredRun
from atomic_margin.service.audit.terms import TermsDocuments, terms_of
from atomic_margin.service.errors import UnknownUniverse
from atomic_margin.service.feed.tick import verify_tick
from atomic_margin.service.operator.runs.records import GENESIS
from atomic_margin.service.protocol.account.identities import keys_of, keys_shown
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Enrolment, OutputHashes, RunRecord, ShortfallRecord, second_run_of
from atomic_margin.service.protocol.keys import key_pair
from atomic_margin.service.protocol.revisions import check_lineage
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile

IntArray = npt.NDArray[np.int64]

STEPS = ("run record", "chain", "terms", "price tick", "submission", "evaluation keys", "matrices", "stored outputs")


@dataclass(frozen=True)
class EvaluatedFunction:
    """One evaluation that the operator recorded.

    Attributes:
        functions: what was evaluated, in this order.
        fft_plan: fingerprint of the plan it was made under.
        words: the stored output words of each function; their hashes are the recorded ones. Words that are kept no
            longer are not there.
        record: the signed document that names them.
        hashes: recorded SHA-256 of each output.
    """

    functions: tuple[str, ...]
    fft_plan: str
    words: dict[str, bytes]
    record: SignedDocument
    hashes: dict[str, str]


@dataclass(frozen=True)
class Evidence:
    """A stored run whose documents hold, ready to be evaluated again.

    Attributes:
        signed: the run record as signed.
        record: its body.
        profile: of the circuits.
        keys: where the evaluation keys are.
        ciphertext: input words.
        A: clear weights, shape (R, N).
        c: clear collateral, shape (R,).
        evaluations: the run's own, then that of its shortfall if one was recorded.
    """

    signed: SignedDocument
    record: RunRecord
    profile: Profile
    keys: KeyFile
    ciphertext: bytes
    A: IntArray
    c: IntArray
    evaluations: tuple[EvaluatedFunction, ...]


@dataclass(frozen=True)
class Anchors:
    """Whose signatures count, and what is pinned besides.

    Attributes:
        operator: the operator's public key.
        trust: a trust file, when there is one: it pins terms, prices, identities and key commitments too.
    """

    operator: str
    trust: TrustFile | None = None


def anchors(directory: Path, trust: TrustFile | None) -> Anchors:
    """Return the trust file's anchors, or the operator's own key from its directory.

    Raises:
        AnchorMissing: neither is at hand.
    """
    if trust is not None:
        return Anchors(trust.operator, trust)
    path = directory / "operator.key"
    if not path.is_file():
        raise AnchorMissing(f"{path} is not there, so nothing says whose signature counts; give --trust")
    return Anchors(Identity.load_or_create(path).public_key)


def gather(
    store: ReadOnlyStore,
    run_id: str,
    anchor: Anchors,
    documents: TermsDocuments | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> Evidence:
    """Read a run, check what it rests on, and return what it takes to evaluate it again.

    Args:
        store: of the operator.
        run_id: the run.
        anchor: whose signatures count.
        documents: model, universe and schedule; by default those of a stored bundle under the same terms.
        on_step: called with each name of `STEPS` that held.

    Raises:
        AuditError: what is missing or does not hold, by class.
        SignatureInvalid, DocumentError: a stored document is not signed, or not of its form.
    """
    stored = store.run(run_id)
    signed, record = parse_signed(stored.record, RunRecord)
    signed.verify(frozenset({anchor.operator}))
    _require(record.operator == anchor.operator, "the record names another operator than the one that signed it")
    _require((record.run_id, record.number) == (run_id, stored.run.number), "the record is of another run")
    _require(stored.run.record_hash == signed.body_hash(), "the stored hash of the record is not that of the record")
    on_step("run record")
    if record.outputs is None or record.fft_plan is None:
        raise RunNotEvaluated(
            f"run {run_id!r} was to be proven first and was not evaluated; there is nothing to repeat. If it was not "
            f"proven in time, the run that was evaluated is {second_run_of(run_id)}"
        )
    _check_chain(record, signed.body_hash(), stored)
    on_step("chain")
    terms = terms_of(store, record, documents)
    _check_terms(record, terms, anchor.trust)
    _check_universe(record, terms, anchor.trust, store)
    on_step("terms")
    market = _check_tick(stored, record, anchor)
    on_step("price tick")
    _check_submission(stored, record, anchor)
    ciphertext = store.blob(record.ciphertext, "ciphertext")
    on_step("submission")
    keys = _keys(store, stored, record, anchor, terms.profile)
    on_step("evaluation keys")
    try:
        compiled = terms.matrices_of(record, market)
    except MatrixMismatch as error:
        raise MatricesMismatch(f"{error}: they do not follow from the record's own inputs") from error
    on_step("matrices")
    evaluations = (
        _run_evaluation(stored, signed, record.outputs, record.fft_plan),
        *_shortfall_evaluation(stored, signed, record, anchor),
    )
    on_step("stored outputs")
    profile = terms.profile
    A, c = compiled.maintenance_fhe.padded(profile.rows, profile.entries, profile.bits)
    return Evidence(signed, record, profile, keys, ciphertext, A, c, evaluations)


def _check_chain(record: RunRecord, run_hash: str, stored: StoredRun) -> None:
    if record.number == 1:
        _require(record.previous == GENESIS, "the first record names one before it")
    elif stored.before is None:
        raise RecordInconsistent(f"record {record.number - 1}, the one before it in the chain, is not in the store")
    else:
        before = SignedDocument.parse(stored.before).body_hash()
        _require(record.previous == before, f"it does not follow record {record.number - 1}: `previous` is another")
    if stored.after is not None:
        after = RunRecord.parse(stored.after["body"])
        _require(after.previous == run_hash, f"record {after.number} does not follow it: its `previous` is another")


def _check_terms(record: RunRecord, terms: Terms, trust: TrustFile | None) -> None:
    for name, value in terms.hashes.items():
        _require(getattr(record, name) == value, f"it was made with another {name} than is given here")
        pinned = value if trust is None else getattr(trust, name, value)
        _require(pinned == value, f"it was made with another {name} than the trust file pins")


def _check_universe(record: RunRecord, terms: Terms, trust: TrustFile | None, store: ReadOnlyStore) -> None:
    given = terms.universe.hash()
    _require(record.universe == given, "it was made with another universe than is given here")
    if trust is not None:
        try:
            check_lineage(trust.universe, given, store.revisions(), trust.operator)
        except UnknownUniverse as error:
            raise RecordInconsistent(f"it was made with another universe than the trust file pins: {error}") from error


def _check_tick(stored: StoredRun, record: RunRecord, anchor: Anchors) -> Market:
    signed, tick = parse_signed(stored.tick, PriceTick)
    signed.verify(frozenset({anchor.operator}))
    _require(signed.body_hash() == record.tick, "it names another price tick than is stored")
    if tick.market is None:
        raise RecordInconsistent("it names a void tick, which has no prices")
    _require(tick.market.sequence == record.price_sequence, "it names another price sequence than its tick has")
    if anchor.trust is not None:
        last_market = None if stored.last_market is None else parse_signed(stored.last_market, PriceTick)[1]
        verify_tick(tick, anchor.trust.prices, last_market, anchor.trust.operator)
    return tick.market


def _check_submission(stored: StoredRun, record: RunRecord, anchor: Anchors) -> None:
    signed, submission = parse_signed(stored.submission, Submission)
    signed.verify(_identities(stored, record, anchor))
    _require(signed.body_hash() == record.submission, "it names another submission than is stored")
    for name in record.differing_from(submission):
        _require(False, f"it has another {name} than its submission")


def _keys(store: ReadOnlyStore, stored: StoredRun, record: RunRecord, anchor: Anchors, profile: Profile) -> KeyFile:
    if stored.keys is None:
        raise BytesMissing(f"the store has no enrolled keys {record.evaluation_keys[:16]}…; restore it from a backup")
    signed, enrolment = parse_signed(stored.keys.document, Enrolment)
    signed.verify(_identities(stored, record, anchor))
    for name in ("institution", "operator", "profile", "evaluation_keys"):
        _require(getattr(enrolment, name) == getattr(record, name), f"it has another {name} than the keys' enrolment")
    commitments = key_pair(profile, enrolment.input_key, enrolment.flag_key).hash
    _require(commitments == record.key_commitments, "it has other key commitments than the keys' enrolment")
    unpinned = None if anchor.trust is None else anchor.trust.unpinned(record.institution, commitments)
    _require(unpinned is None, unpinned or "")
    known_answer_input = store.blob(enrolment.known_answer_input, "known-answer ciphertext")
    store.blob(record.evaluation_keys, "file of evaluation keys")
    return KeyFile(store.blob_path(record.evaluation_keys), record.evaluation_keys, known_answer_input)


def _identities(stored: StoredRun, record: RunRecord, anchor: Anchors) -> frozenset[str]:
    """Return the identity keys of an institution: as the account says, and led over by rotations to the trusted one."""
    public = PublicState.parse(stored.account.public_state)
    if anchor.trust is None:
        return frozenset(keys_of(public))
    pinned = anchor.trust.institutions.get(record.institution)
    if pinned is None:
        raise AnchorMissing(f"institution {record.institution!r} is not in the trust file; add it with its key")
    return frozenset(keys_shown(pinned, stored.rotations, record.institution, anchor.operator))


def _run_evaluation(
    stored: StoredRun, signed: SignedDocument, outputs: OutputHashes, fft_plan: str
) -> EvaluatedFunction:
    words = {"surplus": stored.run.surplus_output, "breach": stored.run.breach_output}
    recorded = {name: getattr(outputs, name) for name in words}
    return EvaluatedFunction(tuple(words), fft_plan, _recorded_words(words, recorded), signed, recorded)


def _shortfall_evaluation(
    stored: StoredRun, signed_run: SignedDocument, record: RunRecord, anchor: Anchors
) -> list[EvaluatedFunction]:
    if stored.shortfall is None:
        return []
    signed, shortfall = parse_signed(stored.shortfall.record, ShortfallRecord)
    signed.verify(frozenset({anchor.operator}))
    for name, wanted in (
        ("run", signed_run.body_hash()),
        ("operator", record.operator),
        ("ciphertext", record.ciphertext),
    ):
        _require(getattr(shortfall, name) == wanted, f"its shortfall record is about another {name}")
    recorded = {"shortfall": shortfall.output}
    words = _recorded_words({"shortfall": stored.shortfall.output}, recorded)
    return [EvaluatedFunction(("shortfall",), shortfall.fft_plan, words, signed, recorded)]


def _recorded_words(words: dict[str, bytes | None], recorded: dict[str, str]) -> dict[str, bytes]:
    found = {}
    for name, data in words.items():
        if data is None:
            # Kept no longer: the hash in the record says what they were.
            continue
        _require(
            hashlib.sha256(data).hexdigest() == recorded[name],
            f"the {name} output in the store is not the one it names",
        )
        found[name] = data
    return found


def _require(good: bool, reason: str) -> None:
    if not good:
        raise RecordInconsistent(f"the run record does not hold: {reason}")
