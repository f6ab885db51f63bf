"""What a bundle shows of its account's history: the entries that its answer rests on, with the states they name.

The institution's answer names the entry that has the run's record, so both parties signed one state of the account,
in which that run was open: on this submission, at this tick, with this collateral. Where custodians opened the book,
what they signed names their request, and that the last entry of the account which they read (`opened.check_requested`).
Entries are leaves of the operator's log; that nobody is shown another history is for its checkpoint and the witnesses
to say.
"""

from typing import Any

from atomic_margin.documents.fields import Hash
from atomic_margin.documents.strict import Part
from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import Refused
from atomic_margin.service.log.checkpoints import Believed
from atomic_margin.service.log.evidence import check_evidence
from atomic_margin.service.protocol.account.agreements import agreed_in_force, eligible_assets
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.events import EventKind
from atomic_margin.service.protocol.account.identities import require_keys
from atomic_margin.service.protocol.account.state import PrivateState, PublicState
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Answer, RunRecord, Settlement
from atomic_margin.service.protocol.evidence import Evidence
from atomic_margin.service.protocol.leaves import entry_leaf
from atomic_margin.service.protocol.settlements import rightful_transfers
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms, terms_hash
from atomic_margin.service.protocol.trust import LogTrust, TrustFile
from atomic_margin.service.protocol.verification import VerifiedBreach
from atomic_margin.service.verifier.pinned import check_agreement

JsonObject = dict[str, Any]


class OpenedEntry(Part):
    """A signed entry with what its hashes of the state hide.

    Attributes:
        entry: signed by the operator.
        salt: of the hash of the public part.
        public: that part of the state after it.
        private_salt: of the hash of the private part, where that is shown.
        private: that part.
    """

    entry: JsonObject
    salt: Hash
    public: PublicState
    private_salt: Hash | None = None
    private: PrivateState | None = None


class LiquidationEntries(Part):
    """What shows that free collateral did not reach the top-up.

    Attributes:
        before: the last entry before the settlement, both parts of its state shown.
        settled: the signed entry of the settlement.
        salt: of the hash of the settlement in it.
    """

    before: OpenedEntry
    settled: JsonObject
    salt: Hash


class SubmissionEntries(Part):
    """What shows that the submission of a run was legal when it came.

    Attributes:
        before: the last entry before it.
        entered: its own.
        salt: of the hash of the submission in that.
    """

    before: OpenedEntry
    entered: OpenedEntry
    salt: Hash


class OpeningEntries(Part):
    """What shows whose account custodians read before they opened the book of a run.

    Attributes:
        before: the signed entry that the request names: the account's last one before it.
        entered: the signed entry of the request.
        salt: of the hash of the request in that.
        request: signed (`OpeningRequest`); verdicts name it.
    """

    before: JsonObject
    entered: JsonObject
    salt: Hash
    request: JsonObject


class History(Part):
    """The entries that a bundle has.

    Attributes:
        submitted: those with which the run's submission came.
        recorded: the one with the run's record.
        opening: more of them, where custodians opened the book.
        liquidation: more of them, where the account was liquidated.
    """

    submitted: SubmissionEntries
    recorded: OpenedEntry
    opening: OpeningEntries | None = None
    liquidation: LiquidationEntries | None = None

    def signed_entries(self) -> list[JsonObject]:
        """Return the entries that are shown, in the order of their evidence."""
        shown = [self.submitted.before.entry, self.submitted.entered.entry, self.recorded.entry]
        if self.opening is not None:
            shown += [self.opening.before, self.opening.entered]
        if self.liquidation is not None:
            shown += [self.liquidation.before.entry, self.liquidation.settled]
        return shown

    def leaves(self) -> list[bytes]:
        """Return the leaves of the log that these entries are."""
        return [entry_leaf(SignedDocument.parse(entry)).to_bytes() for entry in self.signed_entries()]


def check_recorded(
    history: History,
    signed_run: SignedDocument,
    record: RunRecord,
    submission: Submission,
    trust: TrustFile,
    terms: Terms,
    keys: tuple[str, ...],
) -> str:
    """Make sure the account was one in which this run was open; return the hash of the entry that says so.

    Args:
        history: what is shown of the account.
        signed_run: the record.
        record: the same.
        submission: that the run is on.
        trust: the verifier's anchors.
        terms: of the run.
        keys: identity keys of the institution that are shown, oldest first.

    Raises:
        SignatureInvalid, Refused, DocumentError: it does not follow.
    """
    public, entry = opened(history.recorded, trust.operator, "recorded")
    if entry.kind is not EventKind.RUN_RECORDED:
        raise Refused(f"the entry says '{entry.kind}', not that a run was recorded", "recorded")
    run, book = public.run, public.book
    if run is None or book is None or run.record != signed_run.body_hash() or run.stage != "awaiting":
        raise Refused("the run was not the account's open one", "recorded.public.run")
    for name, found, wanted in (
        ("institution", public.institution, record.institution),
        ("operator", public.operator, trust.operator),
        ("terms", public.terms, terms_hash(terms)),
        ("run_id", run.run_id, record.run_id),
        ("price_sequence", run.price_sequence, record.price_sequence),
        ("tick", run.tick, record.tick),
        ("submission", run.submission, record.submission),
        ("commitments", run.commitments, commitments_hash(submission)),
        # The book in force is this one; it may be under newer keys already.
        ("book", book.commitments, run.commitments),
        ("evaluation_keys", run.evaluation_keys, record.evaluation_keys),
        ("key_commitments", run.key_commitments, record.key_commitments),
        ("posted", run.posted, record.posted),
        ("instructions", run.instructions, record.instructions),
        ("agreed", run.agreed, record.agreed),
        ("agreement", agreed_in_force(public), record.agreed),
        ("matrices", run.matrices, record.matrices),
        ("evaluated", run.evaluated, record.outputs is not None),
        ("newest", public.newest, entry.newest),
    ):
        if found != wanted:
            raise Refused(f"the account at the run had another {name} than the bundle shows", f"recorded.{name}")
    if run.price_sequence <= book.tick:
        raise Refused("the run is at a tick from before its book", "recorded.price_sequence")
    require_keys(public, keys, "recorded.identity")
    check_agreement(public, trust)
    return SignedDocument.parse(history.recorded.entry).body_hash()


def check_answered(answer: Answer, recorded: str) -> None:
    """Make sure the institution's answer names the entry that has the run.

    Raises:
        Refused: it names another one.
    """
    if answer.entry != recorded:
        raise Refused("the answer was given to another entry than the one that has the run", "entry")


def check_liquidation(
    history: History,
    settlement: SignedDocument,
    result: VerifiedBreach,
    market: Market,
    terms: Terms,
    operator: str,
) -> None:
    """Make sure that free collateral did not reach the top-up, and that all there was moved.

    Raises:
        SignatureInvalid, Refused, DocumentError, MarginError: it does not follow.
    """
    shown = history.liquidation
    if shown is None or shown.before.private is None:
        raise Refused("a liquidation comes with the entry before it, and the free collateral that it names", "history")
    public, before = opened(shown.before, operator, "before")
    signed, settled = parse_signed(shown.settled, Entry)
    signed.verify(frozenset({operator}))
    follows = (settled.account, settled.number, settled.previous, settled.kind) == (
        before.account,
        before.number + 1,
        SignedDocument.parse(shown.before.entry).body_hash(),
        EventKind.LIQUIDATED,
    )
    if not follows or settled.document != salted_hash(shown.salt, settlement.canonical()):
        raise Refused("the entry of the settlement does not follow the one that is shown before it", "settled")
    run = public.run
    if run is None or (run.record, run.answer, run.stage) != (result.run_hash, result.answer_hash, "breach"):
        raise Refused("the account before the settlement had no breach of this run", "before.public.run")
    if before.account != Entry.parse(SignedDocument.parse(history.recorded.entry).body).account:
        raise Refused("the entries are of two accounts", "before.account")
    rightful = rightful_transfers(
        terms,
        market,
        result.top_up_usd,
        counted=result.record.posted,
        free=shown.before.private.free,
        posted=public.posted,
        eligible=eligible_assets(public),
    )
    body = Settlement.parse(settlement.body)
    if (body.kind, body.transfers) != (rightful.kind, rightful.transfers):
        raise Refused(f"by the account's collateral this is a {rightful.kind}, with other transfers", "transfers")


def check_logged(history: History, evidence: Evidence | None, trust: LogTrust | None) -> Believed | None:
    """Make sure a bundle's entries are in a checkpoint that the trust file believes; None if it asks for no log.

    Raises:
        Refused: the trust file asks for a log, and the bundle shows none.
        LogError: the evidence does not hold.
    """
    if trust is None:
        return None
    if evidence is None:
        raise Refused("the bundle does not show that its entries are in the log; fetch it again in a minute", "log")
    return check_evidence(evidence, history.leaves(), trust)


def opened(shown: OpenedEntry, operator: str, name: str) -> tuple[PublicState, Entry]:
    """Return the public state that an entry names, and the entry.

    Args:
        shown: both.
        operator: public key of the operator.
        name: where they stand in the bundle.

    Raises:
        SignatureInvalid: the operator did not sign the entry.
        Refused: it names other states.
    """
    signed, entry = parse_signed(shown.entry, Entry)
    signed.verify(frozenset({operator}))
    if entry.public != salted_hash(shown.salt, shown.public.canonical()):
        raise Refused("the public state shown is not the one that the entry names", f"{name}.public")
    if shown.private is not None:
        salt = shown.private_salt
        if salt is None or entry.private != salted_hash(salt, shown.private.canonical()):
            raise Refused("the private state shown is not the one that the entry names", f"{name}.private")
    return shown.public, entry
