"""The institution's agent: enrols, submits portfolios, answers runs. Holds every secret of the institution.

It answers only for pinned terms, once per price sequence number, and only when its own computation agrees with what the
operator evaluated; otherwise it withholds the flag and raises an alarm, which says neither a value nor when.
"""

import json
import logging
import os
import secrets
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import Any

from atomic_margin.fhe.errors import DecryptionOutOfRange
from atomic_margin.margin.market.portfolio import Portfolio, check_gross, encode
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution import first_runs, postings, shortfalls
from atomic_margin.service.institution.answers import decide, private_figures
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.institution.enrolment import enrol
from atomic_margin.service.institution.keyring import KeyRing
from atomic_margin.service.institution.openings import read_openings
from atomic_margin.service.institution.pinning import pinned_terms
from atomic_margin.service.institution.runs import (
    CheckedRun,
    DecryptedFlag,
    EvaluationMismatch,
    check_run,
    decrypt_and_compare,
    present,
)
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, OwnAnswer, OwnSubmission
from atomic_margin.service.institution.submissions import CommittedBook, make_submission
from atomic_margin.service.protocol.agent_messages import PrivateFigures, RunFigures
from atomic_margin.service.protocol.documents import CollateralInstruction, Receipt, Submission, parse_signed
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.states import ANSWERABLE, AccountState
from atomic_margin.zk.prove.commit import commit_values

JsonObject = dict[str, Any]
Progress = Callable[[str], None]

_log = logging.getLogger(__name__)


class Agent:
    """One institution's agent."""

    def __init__(self, settings: AgentSettings, on_stage: Progress = lambda stage: None) -> None:
        """Open the directory; fetch the operator's terms and check them against the pinned hashes.

        Raises:
            ConfigurationError: the operator's terms are not the pinned ones.
            RemoteError: the operator does not answer.
        """
        settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.settings = settings
        self.identity = Identity.load_or_create(settings.directory / "identity.key")
        self._secret = _load_secret(settings.directory / "commitment.secret")
        self._store = InstitutionStore(settings.directory)
        self._client = OperatorClient(settings.operator_url, settings.institution, self._store.note("token"))
        self._stage = on_stage
        self._lock = threading.RLock()
        try:
            self.terms = pinned_terms(settings.trust, self._client, settings.institution, self.identity.public_key)
        except BaseException:
            self.close()
            raise
        self._keys = KeyRing(settings, self.terms.profile, self._store)
        self._chain = MarketChain(settings, self._store, self._client.tick)

    def enrol(self) -> None:
        """Enrol unless that is done; see `atomic_margin.service.institution.enrolment.enrol`."""
        with self._lock:
            enrol(self.settings, self.terms, self.identity, self._secret, self._store, self._client, self._stage)

    def submit(self, book: Portfolio) -> int:
        """Encrypt, commit to and prove a portfolio, and send it; return its sequence number.

        Raises:
            MarginError: the book is wrong, by field, or over the gross limit; nothing is sent.
            RemoteError: the operator refuses.
        """
        with self._lock:
            z = encode(book, self.terms.entry_map)
            check_gross(z, self.terms.entry_map, self.settings.gross_limit)
            sequence = self._finish_earlier_submission()
            values = tuple(int(value) for value in z)
            context = {"institution": self.settings.institution, "submission_sequence": str(sequence)}
            self._submit(sequence, book, CommittedBook(values, *commit_values(values, self._secret, context)))
            return sequence

    def instruct(self, action: str, asset: str, quantity: int) -> None:
        """Post or withdraw free collateral.

        Raises:
            RemoteError: the operator refuses.
        """
        with self._lock:
            instruction = CollateralInstruction.parse(
                {
                    "institution": self.settings.institution,
                    "operator": self.settings.trust.operator,
                    "sequence": str(self._client.account().next_instruction),
                    "action": action,
                    "asset": asset,
                    "quantity": str(quantity),
                }
            )
            signed = instruction.signed_by(self.identity)
            receipt = self._client.instruct(signed.to_json())
            self._check_receipt(receipt, signed.body_hash())
            with self._store.unit_of_work() as session:
                postings.remember_instruction(session, instruction, receipt)

    def answer_due(self) -> list[str]:
        """Send what is stored and not receipted, then answer the newest run if it waits; return the runs answered now.

        The operator takes an answer to the newest run alone: an older one that was missed is made good by it. Then the
        shortfalls of breaches answered before are checked.

        Raises:
            RemoteError: the operator does not answer or refuses.
            AgentRefused: the operator took a breach and shows no settlement; the next call asks again.
        """
        with self._lock:
            if self._store.note("evaluation_keys") is None:
                return []
            alarmed = self.alarm is not None
            answered = self._send_outstanding()
            account = self._client.account()
            due = [run for run in account.runs if run.state in ANSWERABLE]
            if due:
                newest = max(due, key=lambda run: run.price_sequence)
                self._prepare_once(newest.run_id, newest.price_sequence, account.policy)
                answered += self._send_outstanding()
            # Last, so that a rotation that fails keeps no run from its answer; and in the round after the alarm.
            if account.state is not AccountState.IN_DEFAULT:
                self._replace_keys(alarmed)
            shortfalls.check_recorded(self._party(), account.shortfalls)
            return answered

    def rotate_keys(self) -> None:
        """Make and enrol new FHE keys, and bring the same book, with the same commitments, under them.

        Raises:
            RemoteError, AgentRefused: as `enrol` and `submit`; the next round goes on from there.
        """
        with self._lock:
            self._store.set_note("passed", "")
            self._store.set_note("enrolled", "")
            self.enrol()
            self._resubmit()

    def figures(self) -> list[RunFigures]:
        """Return the private figures of every answered run, oldest first. They stay at the institution."""
        with self._store.unit_of_work() as session:
            rows = session.query(OwnAnswer).order_by(OwnAnswer.price_sequence).all()
        short = shortfalls.figures(self._store)
        return [
            RunFigures(
                **dict(PrivateFigures.parse(row.figures)),
                delivered=row.receipt is not None,
                shortfall=short.get(row.run_id),
            )
            for row in rows
        ]

    @property
    def alarm(self) -> str | None:
        """Why no flag leaves under the keys in use until they are replaced, or None."""
        keys = self._keys.in_use()
        return None if keys is None else keys.alarm

    @property
    def dispute(self) -> str | None:
        """What the operator signed that contradicts itself, or None. It costs no keys."""
        return self._chain.dispute

    @property
    def key_commitments(self) -> str | None:
        """Hash of the commitments to the FHE keys in use, for verifiers' trust files."""
        keys = self._keys.in_use()
        return None if keys is None else keys.key_commitments

    def close(self) -> None:
        """Release database and connections."""
        self._client.close()
        self._store.close()

    def _party(self) -> shortfalls.Party:
        return shortfalls.Party(self.settings.trust, self.terms, self._keys, self._store, self._client)

    def _submit(self, sequence: int, portfolio: Portfolio, book: CommittedBook) -> None:
        """Make a submission under the keys in use, keep it, and send it."""
        own = self._keys.of(str(self._store.note("evaluation_keys")))
        keys = self._keys.secret(own)
        addressed = {
            "institution": self.settings.institution,
            "operator": self.settings.trust.operator,
            "sequence": str(sequence),
            "nonce": self._client.nonce(),
            "evaluation_keys": own.evaluation_keys,
            "gross_limit": str(self.settings.gross_limit),
        }
        openings = read_openings(keys, own.openings)
        made = make_submission(addressed, self.terms, book, keys, openings, self._store.use_masks, self._stage)
        signed = made.signed_by(self.identity)
        with self._store.unit_of_work() as session:
            session.merge(
                OwnSubmission(
                    sequence=sequence,
                    sha256=signed.body_hash(),
                    document=signed.to_json(),
                    portfolio=_as_object(portfolio.canonical()),
                    blindings=[str(blinding) for blinding in book.blindings],
                    accepted=False,
                )
            )
        self._stage("sending the submission")
        self._check_receipt(self._client.submit(signed.to_json()), signed.body_hash())
        self._accept(sequence)
        self._stage("submitted")

    def _replace_keys(self, alarmed: bool) -> None:
        """Replace keys whose decryptions did not agree; finish a replacement that was interrupted."""
        if alarmed and self._store.note("enrolled"):
            self.rotate_keys()
        else:
            self.enrol()
            self._resubmit()

    def _resubmit(self) -> None:
        """Bring the last accepted book under the keys in use, unless it is."""
        with self._store.unit_of_work() as session:
            accepted = session.query(OwnSubmission).filter_by(accepted=True)
            last = accepted.order_by(OwnSubmission.sequence.desc()).first()
        if last is None or last.document["body"]["evaluation_keys"] == self._store.note("evaluation_keys"):
            return
        sequence = self._finish_earlier_submission()
        portfolio, before = Portfolio.parse(last.portfolio), Submission.parse(last.document["body"])
        values = tuple(int(value) for value in encode(portfolio, self.terms.entry_map))
        commitments = tuple(bytes.fromhex(point) for point in before.commitments)
        blindings = tuple(int(blinding) for blinding in last.blindings)
        self._submit(sequence, portfolio, CommittedBook(values, commitments, blindings))

    def _send_outstanding(self) -> list[str]:
        """Send every stored answer that has no receipt; return the runs that have one now."""
        with self._store.unit_of_work() as session:
            waiting = session.query(OwnAnswer).filter(OwnAnswer.receipt.is_(None), OwnAnswer.superseded.is_(False))
            rows = [row for row in waiting.order_by(OwnAnswer.price_sequence) if row.document is not None]
        sent = []
        for row in rows:
            try:
                self._send(row)
            except RemoteError as error:
                if error.status != HTTPStatus.CONFLICT:
                    raise
                # A later run was evaluated, or the account is in default: nothing is owed on this one any more.
                _log.warning("run %s takes no answer any more: %s", row.run_id, error)
                with self._store.unit_of_work() as session:
                    session.get_one(OwnAnswer, row.price_sequence).superseded = True
            else:
                sent.append(row.run_id)
        return sent

    def _send(self, stored: OwnAnswer) -> None:
        """Send a stored answer and keep the receipt; for a breach, also what its settlement posted."""
        if stored.document is None:
            raise AgentRefused(f"run {stored.run_id!r} has no answer to send: its flag is withheld")
        self._stage("sending the answer")
        answer = SignedDocument.parse(stored.document)
        receipt = self._client.answer(stored.run_id, stored.document)
        self._check_receipt(receipt, answer.body_hash())
        settlement = self._client.run(stored.run_id).settlement
        with self._store.unit_of_work() as session:
            if answer.body["outcome"] == "breach":
                postings.remember_settlement(session, settlement, answer, self.settings.trust.operator)
            row = session.get_one(OwnAnswer, stored.price_sequence)
            row.receipt, row.instructions = receipt.to_json(), postings.booked_instructions(session)
        self._stage("answered")

    def _prepare_once(self, run_id: str, price_sequence: int, policy: Policy = Policy.ALWAYS) -> None:
        """Prepare an answer unless this price sequence number, or a later one, has one."""
        with self._store.unit_of_work() as session:
            decided = session.query(OwnAnswer).filter(OwnAnswer.price_sequence >= price_sequence)
            answered = decided.filter(~first_runs.followed_by(run_id, price_sequence)).first()
        if answered is None:
            self._prepare(run_id, price_sequence, policy)

    def _prepare(self, run_id: str, price_sequence: int, policy: Policy = Policy.ALWAYS) -> OwnAnswer | None:
        """Check a run, decide, prove, and store the answer before anything is sent."""
        started = perf_counter()
        view = self._client.run(run_id)
        try:
            presented = present(view)
            self._chain.follow(view)
            with self._store.unit_of_work() as session:
                own = session.get(OwnSubmission, presented.record.submission_sequence)
            if own is None:
                raise AgentRefused(f"run {run_id!r} is about a submission this agent did not make")
            submission = Submission.parse(own.document["body"])
            book = Portfolio.parse(own.portfolio)
            run = check_run(presented, self.settings.trust, self.terms, submission, own.sha256, book)
            if run.record.run_id != run_id or run.record.price_sequence != price_sequence:
                raise AgentRefused(f"run {run_id!r} carries the record of another run")
            self._chain.require_fresh(run.market)
            with self._store.unit_of_work() as session:
                postings.check_posted(session, run.record)
                first_runs.check(session, run.record, policy)
        except AgentRefused as refusal:
            _log.error("no answer: %s", refusal)
            self._stage("refused a run")
            return None
        if run.record.outputs is None and not run.covered:
            # Nothing is said before it is evaluated, and nothing was decrypted.
            return self._keep(run, None, private_figures(run, None, None, perf_counter() - started, 0.0))
        self._stage("decrypting")
        flag: DecryptedFlag | None = None
        own_keys = self._keys.of(submission.evaluation_keys)
        keys = self._keys.secret(own_keys)
        try:
            if run.record.outputs is not None:
                flag = decrypt_and_compare(run, keys, lambda name: self._client.output(run_id, name))
        except (DecryptionOutOfRange, EvaluationMismatch) as reason:
            self._keys.raise_alarm(own_keys, str(reason))
        if own_keys.alarm is not None:
            flag = None
        decrypted = perf_counter()
        self._stage("proving")
        openings = partial(read_openings, keys, own_keys.openings)
        signed = decide(run, submission, own, flag, openings, self.terms, self.identity)
        proved = perf_counter()
        return self._keep(run, signed, private_figures(run, flag, signed, decrypted - started, proved - decrypted))

    def _keep(self, run: CheckedRun, signed: SignedDocument | None, figures: PrivateFigures) -> OwnAnswer:
        """Store what was decided about a run, in place of what was decided before it was evaluated."""
        answer = OwnAnswer(
            price_sequence=run.record.price_sequence,
            run_id=run.record.run_id,
            run_hash=run.run_hash,
            document=None if signed is None else signed.to_json(),
            figures=figures.to_json(),
            receipt=None,
            superseded=False,
            instructions=0,
            counted=first_runs.counted(run.record),
        )
        with self._store.unit_of_work() as session:
            first_runs.make_way(session, answer)
            session.add(answer)
        return answer

    def _finish_earlier_submission(self) -> int:
        """Settle whether an interrupted submission arrived; return the next sequence number."""
        expected = self._client.account().next_submission
        with self._store.unit_of_work() as session:
            for row in session.query(OwnSubmission).filter_by(accepted=False):
                if row.sequence < expected:
                    row.accepted = True
                else:
                    session.delete(row)
        return expected

    def _accept(self, sequence: int) -> None:
        with self._store.unit_of_work() as session:
            row = session.get_one(OwnSubmission, sequence)
            row.accepted, row.instructions = True, postings.booked_instructions(session)

    def _check_receipt(self, signed: SignedDocument, document: str) -> None:
        _, receipt = parse_signed(signed, Receipt)
        signed.verify(frozenset({self.settings.trust.operator}))
        if receipt.document != document:
            raise RemoteError("the operator's receipt is for another document")


def _as_object(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError("a document is a JSON object")
    return json.loads(json.dumps(value)) if value else {}


def _load_secret(path: Path) -> bytes:
    if path.exists():
        return path.read_bytes()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    secret = secrets.token_bytes(32)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
    return secret
