"""Attestation bundles: everything a verifier needs except the trust anchors, and the numbered checks of one bundle.

`verify_attestation` needs no network, no FHE library and no secret. Anchors come from the trust file alone, so a bundle
re-signed by a stranger fails however consistent it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.circuits.profile import PROFILES
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.fields import WordsHex
from atomic_margin.documents.strict import ListOf, Part
from atomic_margin.margin.collateral import check_transfer
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.errors import AttestationInvalid, ServiceError
from atomic_margin.service.feed.tick import verify_tick
from atomic_margin.service.log.checkpoints import Believed
from atomic_margin.service.protocol.account.identities import keys_shown, require_keys
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.account.state import AgreementInForce
from atomic_margin.service.protocol.answer_claims import AnswerGround
from atomic_margin.service.protocol.bodies import Body, parse_signed
from atomic_margin.service.protocol.documents import BUNDLE_VERSION, Answer, Enrolment, RunRecord, Settlement
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.keys import key_pair
from atomic_margin.service.protocol.opening_claims import OpeningGround
from atomic_margin.service.protocol.revisions import check_lineage
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import (
    VerifiedBreach,
    VerifiedCoverage,
    verify_answer,
    verify_submission,
)
from atomic_margin.service.verifier.gain import GainParts, check_gain
from atomic_margin.service.verifier.history import (
    History,
    check_answered,
    check_liquidation,
    check_logged,
    check_recorded,
)
from atomic_margin.service.verifier.opened import check_opened, check_requested, check_sharing, parse_answered
from atomic_margin.zk.errors import BackendUnavailable, GeneratorError, ProofError
from atomic_margin.zk.groups import Group

JsonObject = dict[str, Any]


class PublishedBundle(Part):
    """A bundle as it is handed on: the signed document and, beside it, what shows its entries in the log.

    Attributes:
        log: not signed by the operator again; its checkpoint is.
    """

    type: str
    body: JsonObject
    signer: str
    signature: str
    log: Evidence | None = None

    def signed(self) -> JsonObject:
        """Return the signed document alone."""
        return {"type": self.type, "body": self.body, "signer": self.signer, "signature": self.signature}


class Attestation(Body):
    """Body of a bundle: one verified answer with everything it rests on.

    Attributes:
        revisions: signed revisions of the universe, in order; absent where there are none. They lead from the one in a
            trust file to that of the run.
        rotations: signed rotations of the institution's identity key up to the answer, in order; absent where there
            are none. They lead over the key in a trust file to those that signed what the bundle has.
        gain: what the submission's gain is compared with, and at which prices; absent where there is neither.
    """

    TYPE = "attestation"
    TAG: ClassVar[str] = "attestation"
    version: Literal["6"]
    model: JsonObject
    universe: JsonObject
    revisions: ListOf[JsonObject] | None = None
    schedule: JsonObject
    tick: JsonObject
    last_market: JsonObject | None = None
    enrolment: JsonObject
    submission: JsonObject
    run: JsonObject
    history: History
    answer: JsonObject
    flag_words: WordsHex | None = None
    settlement: JsonObject | None = None
    gain: GainParts | None = None
    rotations: ListOf[JsonObject] | None = None


def bundle_body(
    terms: Terms,
    *,
    universe: Universe,
    revisions: list[JsonObject],
    tick: JsonObject,
    last_market: JsonObject | None,
    enrolment: JsonObject,
    submission: JsonObject,
    run: JsonObject,
    history: JsonObject,
    answer: JsonObject,
    flag_words: str | None,
    settlement: JsonObject | None,
    gain: JsonObject,
    rotations: list[JsonObject],
) -> JsonObject:
    """Return the body the operator signs as a bundle.

    `universe` is that of the run, `revisions` are the signed ones that lead to the newest, in order. Flag words, in
    hex, and settlement go with a breach; `last_market` with a tick that names one; `gain` has fields of `GainParts`.
    `rotations` are those of the institution's identity key before the entry with the answer.
    """
    body = {
        "version": BUNDLE_VERSION,
        "model": terms.model.canonical(),
        "universe": universe.canonical(),
        "schedule": terms.schedule.canonical(),
        "tick": tick,
        "enrolment": enrolment,
        "submission": submission,
        "run": run,
        "history": history,
        "answer": answer,
    }
    extra = {
        "revisions": revisions or None,
        "last_market": last_market,
        "flag_words": flag_words,
        "settlement": settlement,
        "gain": gain or None,
        "rotations": rotations or None,
    }
    return body | {name: value for name, value in extra.items() if value is not None}


@dataclass
class Report:
    """What was checked, in order, and what the bundle shows.

    Attributes:
        answer: the institution's, or what custodians found in its place.
        ground: what that was held against.
        failed: whether the evaluation failed, says the operator.
    """

    steps: list[str] = field(default_factory=list)
    result: VerifiedCoverage | VerifiedBreach | None = None
    record: RunRecord | None = None
    settlement: Settlement | None = None
    checkpoint: Believed | None = None
    agreement: AgreementInForce | None = None
    answer: Answer | Opened | None = None
    ground: AnswerGround | None = None
    failed: bool = False

    @property
    def evaluation(self) -> Literal["recorded", "failed", "skipped by policy"]:
        """Whether the record names what the evaluation gave, or why not: it failed, or the run was proven without."""
        if self.record is not None and self.record.outputs is not None:
            return "recorded"
        return "failed" if self.failed else "skipped by policy"


def verify_attestation(
    value: object,
    trust: TrustFile,
    group: Group,
    on_step: Callable[[str], None] | None = None,
    *,
    unsettled: bool = False,
) -> Report:
    """Check a bundle against trust anchors, step by step.

    Args:
        value: the parsed JSON of the bundle.
        trust: the verifier's anchors.
        group: backend of the proofs.
        on_step: called with the name of each step that held.
        unsettled: nothing is settled yet, for who is asked before: a breach comes without a settlement then, and no
            other bundle is taken. Everything else is as strict as ever.

    Raises:
        AttestationInvalid: the first step that does not hold, by name.
    """
    report = Report()

    @contextmanager
    def step(name: str) -> Iterator[None]:
        try:
            yield
        except (GeneratorError, BackendUnavailable):
            # The verifier's own installation is at fault, not the bundle.
            raise
        except (ServiceError, DocumentsError, MarginError, CircuitError, ProofError) as error:
            path = getattr(error, "field", None)
            detail = str(error) if path is None or str(error).startswith(path) else f"{path}: {error}"
            raise AttestationInvalid(name, detail) from error
        report.steps.append(name)
        if on_step is not None:
            on_step(name)

    # (1) The bundle has the form of this version, nothing missing and nothing added.
    with step("format"):
        published = PublishedBundle.parse(value)
        signed_bundle, bundle = parse_signed(published.signed(), Attestation)
        signed_run, record = parse_signed(bundle.run, RunRecord)
        signed_enrolment, enrolment = parse_signed(bundle.enrolment, Enrolment)
        signed_submission, submission = parse_signed(bundle.submission, Submission)
        signed_answer, answer = parse_answered(bundle.answer)
        signed_tick, tick = parse_signed(bundle.tick, PriceTick)
        before = None if bundle.last_market is None else parse_signed(bundle.last_market, PriceTick)
        settled = None if bundle.settlement is None else parse_signed(bundle.settlement, Settlement)
    # (2) Model, collateral schedule, profile and generators are the trusted ones; so is the universe, or the trusted
    #     operator's revisions lead from there to it.
    with step("trust anchors"):
        profiles = [profile for profile in PROFILES.values() if profile.hash() == trust.profile]
        _require(bool(profiles), "profile", "the trusted profile is unknown to this version of atomic-margin")
        terms = Terms.parse(bundle.model, bundle.universe, bundle.schedule, profiles[0])
        for name in ("model", "schedule", "profile", "generators"):
            _require(terms.hashes[name] == getattr(trust, name), name, f"not the {name} of the trust file")
        universe = terms.universe.hash()
        check_lineage(trust.universe, universe, bundle.revisions or (), trust.operator)
    # (3) Enough trusted sources signed prices, after the tick before and under the trusted rules; combined by these
    #     they are the tick's, within the bounds from the last tick that had a market.
    with step("price tick"):
        market = verify_tick(tick, trust.prices, None if before is None else before[1], trust.operator)
    # (4) The trusted operator signed both ticks and the run record, which names these very documents.
    with step("run record"):
        signed_tick.verify(frozenset({trust.operator}))
        if before is not None:
            before[0].verify(frozenset({trust.operator}))
        signed_run.verify(frozenset({trust.operator}))
        _require(record.operator == trust.operator, "operator", "the run record names another operator")
        for name, value_ in terms.hashes.items():
            _require(getattr(record, name) == value_, name, f"the run was made with another {name}")
        _require(record.universe == universe, "universe", "the run was made with another universe")
        _require(record.tick == signed_tick.body_hash(), "tick", "the run was made with another price tick")
        _require(record.price_sequence == market.sequence, "price_sequence", "the run names another price sequence")
    # (5) The trusted institution enrolled the keys the run was made with, and the trust file pins their commitments.
    #     Where its identity key was replaced, each key signed the one after it, and each that the one before was its.
    with step("enrolment"):
        pinned = trust.institutions.get(record.institution)
        if pinned is None:
            raise AttestationInvalid("enrolment", f"institution {record.institution!r} is not in the trust file")
        identities = keys_shown(pinned, bundle.rotations or (), record.institution, trust.operator)
        # Under the key in force at its entry, see (8); enrolled it was under that or one before.
        submitter = bundle.history.submitted.entered.public.identity
        until = identities.index(submitter) + 1 if submitter in identities else 1
        signed_enrolment.verify(frozenset(identities[:until]))
        for name, expected in (
            ("institution", record.institution),
            ("operator", record.operator),
            ("profile", record.profile),
            ("evaluation_keys", record.evaluation_keys),
        ):
            _require(getattr(enrolment, name) == expected, name, f"enrolment and run differ in {name}")
        keys = key_pair(terms.profile, enrolment.input_key, enrolment.flag_key)
        _require(keys.hash == record.key_commitments, "key_commitments", "the run was made with other keys")
        unpinned = trust.unpinned(record.institution, keys.hash)
        _require(unpinned is None, "keys", unpinned or "")
    # (6) It signed the submission the run names, and portfolio and encryption proofs hold.
    with step("submission"):
        _require(record.submission == signed_submission.body_hash(), "submission", "the run names another submission")
        for name in record.differing_from(submission):
            _require(False, name, f"submission and run differ in {name}")
        verify_submission(signed_submission, submission, terms, identities[until - 1], keys, group)
        check_sharing(submission, trust)
    # (7) The matrices the run names are what these prices and this collateral give, to the bit.
    with step("matrices"):
        matrices = terms.matrices_of(record, market)
    # (8) The operator entered the run into the account: it was open there on this book, at this tick, with this
    #     collateral.
    with step("account"):
        recorded = check_recorded(bundle.history, signed_run, record, submission, trust, terms, identities)
        for part in (bundle.history.submitted.before, bundle.history.submitted.entered):
            require_keys(part.public, identities, "submitted.identity")
        report.agreement = bundle.history.recorded.public.agreement
        open_run = bundle.history.recorded.public.run
        report.failed = open_run is not None and open_run.failed
    # (9) The operator entered the submission when the machine allowed it: compared with the right book, at the newest
    #     prices, within what the account is allowed. The proof holds that it gained no more than it says.
    with step("gain"):
        check_gain(bundle.gain or GainParts(), bundle.history, signed_submission, trust, terms, bundle.revisions, group)
    # (10) The institution signed the answer to this run, under the last of its keys that is shown, and its proofs hold:
    #     sufficiency, and on a breach decryption and breach too. Or it was silent: as many custodians as have the book
    #     together signed what they found, of the account that they were asked about, and on a breach the proofs hold
    #     that a row is negative and what one lacks.
    with step("answer"):
        words = bundle.flag_words
        flag_words = None if words is None else bytes.fromhex(words)
        ground = AnswerGround(record, signed_run.body_hash(), submission, market, matrices, terms, keys, flag_words)
        decrypted = isinstance(answer, Answer) and answer.outcome == "breach"
        _require(
            (words is not None) == decrypted, "flag_words", "go with a breach that was answered, and with nothing else"
        )
        if isinstance(answer, Opened):
            check_requested(bundle.history, answer, trust.operator)
            opening = OpeningGround(record, ground.run_hash, submission, matrices, terms, market)
            public = bundle.history.recorded.public
            report.result = check_opened(signed_answer, answer, opening, public, trust, group)
        else:
            _require(
                bundle.history.opening is None, "history.opening", "goes with what custodians found, and nowhere else"
            )
            check_answered(answer, recorded)
            report.result = verify_answer(
                signed_answer, answer, **ground._asdict(), identity=identities[-1], group=group
            )
    # (11) A breach was settled once, by the operator, for the proven top-up; coverage moved nothing. Nor did anything
    #      where a bundle from before the settlement is asked for.
    with step("settlement"):
        if settled is not None:
            report.settlement = settled[1]
        if unsettled:
            _require(settled is None, "settlement", "it is settled already, and one that is not is wanted")
        if not (unsettled and isinstance(report.result, VerifiedBreach)):
            _check_settlement(report.result, settled, terms, market, trust.operator)
        if settled is not None and settled[1].kind == "liquidation" and isinstance(report.result, VerifiedBreach):
            check_liquidation(bundle.history, settled[0], report.result, market, terms, trust.operator)
    # (12) The entries are in a checkpoint of the operator's log that enough trusted witnesses cosigned. A trust file
    #      that names no log asks for none, and the report says so.
    with step("log"):
        report.checkpoint = check_logged(bundle.history, published.log, trust.log)
    # (13) The operator signed the bundle as a whole.
    with step("attestation"):
        signed_bundle.verify(frozenset({trust.operator}))
    report.record, report.answer, report.ground = record, answer, ground
    return report


def _check_settlement(
    result: VerifiedCoverage | VerifiedBreach,
    settled: tuple[SignedDocument, Settlement] | None,
    terms: Terms,
    market: Market,
    operator: str,
) -> None:
    if isinstance(result, VerifiedCoverage):
        _require(settled is None, "settlement", "a covered run settles nothing")
        return
    if settled is None:
        raise AttestationInvalid("settlement", "a breach without its settlement")
    signed, settlement = settled
    signed.verify(frozenset({operator}))
    for name, wanted in (
        ("run_id", result.record.run_id),
        ("run", result.run_hash),
        ("answer", result.answer_hash),
        ("operator", operator),
        ("institution", result.record.institution),
        ("flag", result.flag),
        ("top_up", result.top_up),
        ("top_up_usd", format(result.top_up_usd, "f")),
    ):
        _require(getattr(settlement, name) == wanted, name, f"the settlement differs from the answer in {name}")
    if settlement.kind == "margin_call":
        routes = {(move.source, move.destination) for move in settlement.transfers}
        _require(routes == {("free", "posted")}, "transfers", "a margin call moves free to posted collateral")
        moved = {move.asset: move.quantity for move in settlement.transfers}
        _require(len(moved) == len(settlement.transfers), "transfers", "an asset is moved twice")
        moves = terms.model.spot_moves
        check_transfer(result.top_up_usd, moved, terms.schedule, moves, market, posted=result.record.posted)
    else:
        # What has to move follows from the account: `check_liquidation`.
        destinations = {move.destination for move in settlement.transfers}
        _require(destinations <= {"liquidation"}, "transfers", "a liquidation moves to the liquidation account")


def _require(good: bool, name: str, detail: str) -> None:
    if not good:
        raise _Mismatch(f"{name}: {detail}")


class _Mismatch(ServiceError):
    """Two parts of a bundle disagree; becomes an AttestationInvalid that names the step."""
