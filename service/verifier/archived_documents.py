"""What the documents of an archived history prove, each held against the account it came to.

The machine has run by then: a document is the right one at its moment. Here are the proofs in it, and what the operator
computed: matrices, settlements, deadlines. Proofs of answers are put off and verified together, `BATCH` at a time: a
thousand of them take as long as a hundred would alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from atomic_margin.documents.fields import instant_text
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.service.errors import ArchiveInvalid, Refused
from atomic_margin.service.log.clock import check_deadline
from atomic_margin.service.log.netted import check_netting
from atomic_margin.service.protocol.account.agreements import eligible_assets
from atomic_margin.service.protocol.account.default_documents import Sale
from atomic_margin.service.protocol.account.events import Coverage, EventKind, Overdue
from atomic_margin.service.protocol.account.identities import signer_among
from atomic_margin.service.protocol.account.maturity_documents import Maturity
from atomic_margin.service.protocol.account.netting_documents import Netting
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.resharing_documents import Resharing
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.answer_claims import AnswerGround, answer_claims
from atomic_margin.service.protocol.disputes import Dispute, DisputeLapse, about_a_dispute
from atomic_margin.service.protocol.documents import Answer, Enrolment, RunRecord, Settlement
from atomic_margin.service.protocol.keys import KeyPair, key_pair
from atomic_margin.service.protocol.maturities import check_maturity
from atomic_margin.service.protocol.opening_claims import OpeningGround
from atomic_margin.service.protocol.returns import check_return
from atomic_margin.service.protocol.sales import check_sale
from atomic_margin.service.protocol.settlements import check_settled, rightful_transfers
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.unasked import verify_coverage, verify_release
from atomic_margin.service.protocol.verification import verify_gain, verify_submission
from atomic_margin.service.verifier.archived_entry import Ground, Happened
from atomic_margin.service.verifier.opened import check_opened, check_resharing, check_sharing
from atomic_margin.service.verifier.pinned import Agreements, check_waterfall
from atomic_margin.zk.errors import BatchInvalid
from atomic_margin.zk.groups import Point
from atomic_margin.zk.verify.batch import Claim, verify_batch

BATCH = 64
"""Proofs that are verified together."""


class _Run(NamedTuple):
    record: RunRecord
    matrices: RunMatrices
    market: Market
    leaf: bytes


@dataclass
class ArchivedDocuments:
    """Takes what happened, entry by entry, and checks what each document proves.

    Attributes:
        ground: what they are held against.
        proofs: how many proofs were verified so far.
        known: points that were decoded before.
    """

    ground: Ground
    proofs: int = 0
    known: dict[bytes, Point] = field(default_factory=dict)
    _submissions: dict[str, Submission] = field(default_factory=dict)
    _keys: dict[str, KeyPair] = field(default_factory=dict)
    _runs: dict[str, _Run] = field(default_factory=dict)
    _answer: tuple[str, Answer | Opened] | None = None
    _waiting: list[tuple[int, str, Claim]] = field(default_factory=list)
    _entries: dict[int, tuple[str, EventKind]] = field(default_factory=dict)
    _agreements: Agreements = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no agreement counted."""
        self._agreements = Agreements(self.ground.trust)

    def note(self, number: int, entry: str, kind: EventKind) -> None:
        """Keep which entry has a number, of what kind."""
        self._entries[number] = (entry, kind)

    def without_agreement(self, last: Account) -> tuple[str, ...]:
        """Return the runs and proofs that counted no agreement though the trust file pins some, by name.

        Raises:
            Refused: the account never came under one.
        """
        return self._agreements.conclude(last.public)

    def take_earlier(self, document: SignedDocument, identity: str) -> None:
        """Take a document from before the first entry; whatever rests on it names it by hash.

        Raises:
            Refused: it is none that anything rests on.
            SignatureInvalid, DocumentError: it does not hold.
        """
        document.verify(frozenset({identity}))
        if document.type == Enrolment.TYPE:
            self._enrol(Enrolment.parse(document.body))
        elif document.type == Submission.TYPE:
            self._submissions[document.body_hash()] = Submission.parse(document.body)
        else:
            raise Refused(f"nothing rests on a {document.type} from before the archive", "type")

    def check_earlier(self, documents: Mapping[str, SignedDocument], keys: tuple[str, ...]) -> None:
        """Check the proofs of the submissions from before, whose keys are known by now."""
        for name, document in documents.items():
            submission = self._submissions.get(name)
            if submission is not None:
                self._check_submission(document, submission, signer_among(document, keys))

    def take(self, happened: Happened) -> None:
        """Check what one document proves, or put its proofs off.

        Raises:
            Refused, MarginError, LogError, DocumentError, SignatureInvalid: it does not hold.
            ArchiveInvalid: something it rests on is missing, or a proof that was put off does not hold.
        """
        check = _CHECKS.get(happened.event.kind)
        if check is not None:
            check(self, happened)
        self.note(happened.number, happened.entry, happened.event.kind)
        if len(self._waiting) >= BATCH:
            self.conclude()

    def conclude(self) -> None:
        """Verify the proofs that were put off.

        Raises:
            ArchiveInvalid: one does not hold; its entry is named.
        """
        if not self._waiting:
            return
        try:
            verify_batch([claim for _, _, claim in self._waiting], self.ground.group, self.known)
        except BatchInvalid as error:
            index = min(error.culprits)
            number, name, _ = self._waiting[index]
            raise ArchiveInvalid(f"entry {number}: {name}: {error.culprits[index]}", "documents") from error
        self.proofs += len(self._waiting)
        self._waiting.clear()

    def enrolled(self, happened: Happened) -> None:
        """Keep the commitments to the keys."""
        self._enrol(Enrolment.parse(happened.document.body))

    def _enrol(self, enrolment: Enrolment) -> None:
        pair = key_pair(self.ground.terms.profile, enrolment.input_key, enrolment.flag_key)
        self._keys[enrolment.evaluation_keys] = pair

    def submitted(self, happened: Happened) -> None:
        """A submission holds, and gained no more than it says."""
        submission = Submission.parse(happened.document.body)
        if 1 in self._entries and all(submission.entry != entry for entry, _ in self._entries.values()):
            # An operator draws pseudonyms: genuine documents could be entered once more in a second account.
            raise Refused(
                "the book names an entry that is none of this account's: it was made for another one", "entry"
            )
        self._check_submission(happened.document, submission, happened.after.public.identity)
        self._submissions[happened.event.document] = submission
        named = submission.gain
        before = None if named.before is None else self._submission(named.before)
        market = None if named.price_sequence == 0 else self.ground.market(named.price_sequence)
        verify_gain(submission, before, market, self.ground.terms, self.ground.group)
        self.proofs += 1

    def _check_submission(self, document: SignedDocument, submission: Submission, identity: str) -> None:
        keys = self._keys.get(submission.evaluation_keys)
        if keys is None:
            raise ArchiveInvalid("a submission is under keys whose enrolment the archive does not have", "documents")
        if keys.hash not in self.ground.trust.keys.get(submission.institution, ()):
            raise Refused(f"the trust file pins no such keys of {submission.institution!r}: {keys.hash}", "keys")
        verify_submission(document, submission, self.ground.terms, identity, keys, self.ground.group)
        check_sharing(submission, self.ground.trust)
        self.proofs += 2

    def _submission(self, name: str) -> Submission:
        found = self._submissions.get(name)
        if found is None:
            raise ArchiveInvalid(f"submission {name} is not in the archive, and a document rests on it", "documents")
        return found

    def recorded(self, happened: Happened) -> None:
        """A run's matrices are what its prices, collateral and terms give."""
        record = RunRecord.parse(happened.document.body)
        self._agreements.count(record.run_id, happened.after.public)
        for name in record.differing_from(self._submission(record.submission)):
            raise Refused(f"submission and run differ in {name}", name)
        market = self.ground.market(record.price_sequence)
        matrices = self.ground.terms.matrices_of(record, market)
        self._runs = {happened.event.document: _Run(record, matrices, market, happened.leaf)} | self._kept(happened)

    def _kept(self, happened: Happened) -> dict[str, _Run]:
        """Return the runs that are still open or owed; the others need not be kept."""
        run = None if happened.before is None else happened.before.public.run
        return {} if run is None or run.record not in self._runs else {run.record: self._runs[run.record]}

    def answered(self, happened: Happened) -> None:
        """Put off the proofs of an answer, after everything else about it holds."""
        answer = Answer.parse(happened.document.body)
        run = self._run(answer.run)
        submission = self._submission(run.record.submission)
        keys = self._keys[submission.evaluation_keys]
        words = self.ground.flags.get(answer.run)
        ground = AnswerGround(
            run.record, answer.run, submission, run.market, run.matrices, self.ground.terms, keys, words
        )
        claims = answer_claims(answer, ground)
        self._answer = (happened.event.document, answer)
        self._waiting += [(happened.number, name, claim) for name, claim in claims.items()]

    def opened(self, happened: Happened) -> None:
        """What custodians found holds: enough of the pinned ones signed it, and its proofs are about this run."""
        opened = Opened.parse(happened.document.body)
        run = self._run(opened.run)
        submission, before = self._submission(run.record.submission), happened.before
        if before is None:
            raise TypeError("an account whose book is opened was there before")
        ground = OpeningGround(run.record, opened.run, submission, run.matrices, self.ground.terms, run.market)
        check_opened(happened.document, opened, ground, before.public, self.ground.trust, self.ground.group)
        self.proofs += sum(proof is not None for proof in (opened.breach_proof, opened.lack_proof))
        self._answer = (happened.event.document, opened)

    def reshared(self, happened: Happened) -> None:
        """Pinned custodians have receipted their shares of the new deal."""
        check_resharing(Resharing.parse(happened.document.body), self.ground.trust)

    def _run(self, name: str) -> _Run:
        found = self._runs.get(name)
        if found is None:
            raise ArchiveInvalid("a document is about a run that the archive does not have", "documents")
        return found

    def settled(self, happened: Happened) -> None:
        """A settlement moves what it has to, by prices and balances."""
        body, before = Settlement.parse(happened.document.body), happened.before
        run, (answered, answer) = self._run(body.run), self._answer or (None, None)
        if before is None:
            raise TypeError("an account that is settled was there before")
        if answer is None or answered != body.answer:
            raise ArchiveInvalid("a settlement is of an answer that the archive does not have", "documents")
        check_settled(body, answer)
        rightful = rightful_transfers(
            self.ground.terms,
            run.market,
            Decimal(body.top_up_usd),
            counted=run.record.posted,
            free=before.private.free,
            posted=before.public.posted,
            eligible=eligible_assets(before.public),
        )
        if (body.kind, body.transfers) != (rightful.kind, rightful.transfers):
            raise Refused(f"by the account's collateral this is a {rightful.kind}, with other transfers", "transfers")

    def covered_unasked(self, happened: Happened) -> None:
        """A proof that nobody asked for holds."""
        self._agreements.count(f"entry {happened.number}", happened.after.public)
        coverage = Coverage.parse(happened.document.body)
        verify_coverage(
            happened.document,
            coverage,
            submission=self._submission(coverage.submission),
            submission_hash=coverage.submission,
            market=self.ground.market(coverage.price_sequence),
            terms=self.ground.terms,
            identity=happened.after.public.identity,
            group=self.ground.group,
        )
        self.proofs += 1

    def sold(self, happened: Happened) -> None:
        """A sale of segregated collateral keeps the limit of the pinned rules, at the prices of its tick."""
        self.ruled(happened)
        sale = Sale.parse(happened.document.body)
        check_sale(sale, self.ground.market(sale.price_sequence), self.ground.terms.schedule)

    def ruled(self, happened: Happened) -> None:
        """A sale, a close-out or a document of the fund is under the pinned waterfall rules."""
        check_waterfall(happened.event.body, self.ground.trust)

    def disputed(self, happened: Happened) -> None:
        """What is disputed is an earlier entry of the account, of that number, and not about a dispute itself.

        Of what stands before the entry that the archive begins after, the archive does not have the hash.
        """
        body = Dispute.parse(happened.document.body)
        if 0 < body.number < min(self._entries, default=happened.number):
            return
        found, kind = self._entries.get(body.number, (None, None))
        if found != body.subject or about_a_dispute(str(kind)):
            raise Refused("what is disputed is no entry of the account that may be disputed", "subject")

    def came_back(self, happened: Happened) -> None:
        """What remained after a release, or a substitution, was initial margin, or worth what was there before."""
        self._agreements.count(f"entry {happened.number}", happened.after.public)
        release = Release.parse(happened.document.body)
        named = release.submission
        priced = self.ground.market(release.price_sequence) if release.price_sequence else None
        check_return(release, happened.after.public.agreement, self.ground.terms, priced)
        verify_release(
            happened.document,
            release,
            submission=None if named is None else self._submission(named),
            submission_hash=named,
            market=None if named is None else self.ground.market(release.price_sequence),
            terms=self.ground.terms,
            identity=happened.after.public.identity,
            group=self.ground.group,
        )
        self.proofs += release.sufficiency_proof is not None

    def overdue(self, happened: Happened) -> None:
        """The time to answer was over, by the witnesses' clocks where the trust file names some."""
        body = Overdue.parse(happened.document.body)
        run = self._run(body.run)
        if self.ground.trust.log is not None:
            seconds = run.record.answer_seconds
            check_deadline(body.begins, body.ends, run.leaf, seconds, self.ground.trust.log)
        elif body.declared_at < run.record.deadline:
            raise Refused(f"the run was declared overdue before {run.record.deadline}, its deadline", "declared_at")

    def netted(self, happened: Happened) -> None:
        """Every line that the account is shown of a cycle is in the cycle's tree."""
        check_netting(Netting.parse(happened.document.body))

    def lapsed(self, happened: Happened) -> None:
        """Prices have the times that the operator says when it lets a dispute lapse."""
        body = DisputeLapse.parse(happened.document.body)
        for what, named in (("begins", body.begins), ("ends", body.ends)):
            tick = self.ground.ticks.get(named.price_sequence)
            # What began before the archive does, an entry of another archive has.
            if tick is None or tick.market is None:
                continue
            priced_at = instant_text(tick.market.as_of)
            if named.priced_at != priced_at:
                raise Refused(f"the dispute {what} at prices of {priced_at}, it says {named.priced_at}", what)

    def matured(self, happened: Happened) -> None:
        """An asset had matured by its prices, and what came in for it is what is due."""
        body = Maturity.parse(happened.document.body)
        check_maturity(body, self.ground.terms.schedule, self.ground.market(body.price_sequence))


_CHECKS: Mapping[EventKind, Callable[[ArchivedDocuments, Happened], None]] = {
    EventKind.KEYS_ENROLLED: ArchivedDocuments.enrolled,
    EventKind.SUBMITTED: ArchivedDocuments.submitted,
    EventKind.LOSSES_SETTLED: ArchivedDocuments.submitted,
    EventKind.RUN_RECORDED: ArchivedDocuments.recorded,
    EventKind.COVERED: ArchivedDocuments.answered,
    EventKind.BREACH_PROVEN: ArchivedDocuments.answered,
    EventKind.OPENED_COVERED: ArchivedDocuments.opened,
    EventKind.OPENED_IN_BREACH: ArchivedDocuments.opened,
    EventKind.RESHARED: ArchivedDocuments.reshared,
    EventKind.MARGIN_CALLED: ArchivedDocuments.settled,
    EventKind.LIQUIDATED: ArchivedDocuments.settled,
    EventKind.PROOF_OVERDUE: ArchivedDocuments.overdue,
    EventKind.ANSWER_OVERDUE: ArchivedDocuments.overdue,
    EventKind.COVERED_UNASKED: ArchivedDocuments.covered_unasked,
    EventKind.NETTED: ArchivedDocuments.netted,
    EventKind.DISPUTE_LAPSED: ArchivedDocuments.lapsed,
    EventKind.DISPUTED: ArchivedDocuments.disputed,
    EventKind.COLLATERAL_SOLD: ArchivedDocuments.sold,
    EventKind.DEFAULT_CLOSED: ArchivedDocuments.ruled,
    EventKind.FUND_CONTRIBUTED: ArchivedDocuments.ruled,
    EventKind.FUND_DRAWN: ArchivedDocuments.ruled,
    EventKind.RELEASED: ArchivedDocuments.came_back,
    EventKind.SUBSTITUTED: ArchivedDocuments.came_back,
    EventKind.MATURED: ArchivedDocuments.matured,
    EventKind.FREE_MATURED: ArchivedDocuments.matured,
}
