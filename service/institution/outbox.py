"""What the institution signed, until an entry of the operator has it: sent, and sent again as the same bytes.

Nothing here is ever deleted. A document that the account machine shows can have no entry any more is *superseded*: it
is not sent again, and stays known, because the operator may still hold it.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution.disputed import obstacle_of_dispute
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import Own, OwnAnswer, OwnDocument, OwnSubmission, as_object, find_sent
from atomic_margin.service.protocol.account.events import Coverage, Readers
from atomic_margin.service.protocol.account.netting_documents import Obligation
from atomic_margin.service.protocol.account.release_documents import Release
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.documents import Answer, CollateralInstruction
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import ENDED, AccountState, RunState
from atomic_margin.service.protocol.submissions import Submission

STALE = "stale"
"""How the reason begins for which a submission is sent no more that came too late for the prices of its gain."""
RESEND_SECONDS = 30
"""Between two attempts at what the operator refused; what it did not answer is sent again in every round."""
REFUSALS = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""With these the operator says that it does not take a document; with others it says nothing of it."""
_ANSWERED = (RunState.COVERED, RunState.BREACH_VERIFIED, RunState.SETTLED)
_RESENT = ("collateral-instruction", "readers", "coverage", "dispute", "dispute-withdrawal", "obligation", "release")
_NUMBERED = ("collateral-instruction", "readers", "dispute", "obligation", "release")

_log = logging.getLogger(__name__)


class Outbox:
    """The documents of one institution on their way to one operator."""

    def __init__(self, party: Party, deliver: Callable[[str], None] | None = None) -> None:
        """`deliver` is handed the hash of what no entry has after `deliver_after` seconds, once for every start."""
        self._party, self._deliver = party, deliver
        self._refused: dict[str, datetime] = {}
        self._delivered: set[str] = set()

    def keep(self, signed: SignedDocument) -> None:
        """Store a document that is neither submission nor answer, before it is sent. Twice is once."""
        with self._party.store.unit_of_work() as session:
            if find_sent(session, signed.body_hash()) is None:
                session.add(
                    OwnDocument(
                        sha256=signed.body_hash(), type=signed.type, document=signed.to_json(), stored_at=self.time()
                    )
                )

    def keep_submission(self, signed: SignedDocument, portfolio: Portfolio, blindings: Sequence[int]) -> None:
        """Store a submission before it is sent, with what opens it."""
        row = OwnSubmission(
            sequence=int(signed.body["sequence"]),
            sha256=signed.body_hash(),
            document=signed.to_json(),
            portfolio=as_object(portfolio.canonical()),
            blindings=[str(blinding) for blinding in blindings],
            stored_at=self.time(),
        )
        with self._party.store.unit_of_work() as session:
            session.add(row)

    def time(self) -> str:
        """Return the present time, as what is stored has it."""
        return self._party.settings.clock().isoformat()

    def send(self, signed: SignedDocument) -> None:
        """Send a stored document, and follow the account to the entry that has it.

        Raises:
            RemoteError: the operator does not answer, or refuses; then it is superseded if nothing else can come of it.
            EntryRefused, AgentRefused: the operator says it took it, and the account does not have it.
        """
        try:
            entry = self._posted(signed)
        except RemoteError as error:
            refused = error.status in REFUSALS
            if refused:
                self._refused[signed.body_hash()] = self._party.settings.clock()
            # Its number stays free: should the operator play it later, the next one with that number has no entry.
            field = str(error.problem.get("field"))
            if refused and (signed.type in _NUMBERED or field == "nonce"):
                self._supersede(signed.body_hash(), str(error))
            elif refused and signed.type == "submission" and "settles" in signed.body["gain"]:
                # Whoever settles losses does it at prices that they see; it is not done at later ones by itself.
                self._supersede(signed.body_hash(), f"its losses are not settled: {error}")
            elif refused and field.startswith("gain.") and field != "gain.allowance":
                # There are newer prices than its gain was counted at: the same book is brought again at those.
                self._supersede(signed.body_hash(), f"{STALE}: {error}")
            raise
        self._party.history.expect(entry, signed)

    def resend(self) -> list[str]:
        """Send everything again that no entry has; return the runs whose answers an entry has now.

        Raises:
            RemoteError: the operator does not answer.
            EntryRefused, AgentRefused: as `send`.
        """
        answered = []
        for row in self.outstanding():
            signed = self._under_key_in_force(row)
            reason = _obstacle(signed, self._party.history.state, self._party.history.head)
            if reason is not None and isinstance(row, OwnAnswer) and self._entered(row):
                answered.append(row.run_id)
                continue
            if reason is not None:
                _log.warning("a %s is not sent any more: %s", signed.type, reason)
                self._supersede(signed.body_hash(), reason)
                continue
            if self._pauses(signed):
                continue
            try:
                self.send(signed)
            except RemoteError as error:
                if error.status not in REFUSALS:
                    raise
                if isinstance(row, OwnAnswer) and self._entered(row):
                    answered.append(row.run_id)
                    continue
                self._party.said.error(_log, f"the operator takes no {signed.type}", str(error))
            else:
                answered += [row.run_id] if isinstance(row, OwnAnswer) else []
        self._hand_on()
        return answered

    def outstanding(self) -> list[Own]:
        """Return what was stored to be sent and has no entry, in the order it is sent in."""
        with self._party.store.unit_of_work() as session:
            submissions = session.query(OwnSubmission).filter_by(entry=None, superseded=None)
            documents = session.query(OwnDocument).filter_by(entry=None, superseded=None)
            answers = session.query(OwnAnswer).filter_by(entry=None, superseded=None)
            return [
                *documents.filter(OwnDocument.type.in_(_RESENT)).order_by(OwnDocument.id),
                *submissions.order_by(OwnSubmission.id),
                *answers.filter(OwnAnswer.sha256.is_not(None)).order_by(OwnAnswer.price_sequence, OwnAnswer.run_id),
            ]

    def replace_submissions(self) -> None:
        """Send no earlier submission again, because another book takes its place."""
        for row in self.outstanding():
            if isinstance(row, OwnSubmission):
                self._supersede(row.sha256, "another book was submitted in its place")

    def _posted(self, signed: SignedDocument) -> SignedDocument:
        client, document = self._party.client, signed.to_json()
        if signed.type == "submission":
            return client.submit(document)
        if signed.type == "collateral-instruction":
            return client.instruct(document)
        if signed.type == "coverage":
            return client.cover(document)
        if signed.type == "readers":
            return client.name_readers(document)
        if signed.type == "dispute":
            return client.dispute(document)
        if signed.type == "dispute-withdrawal":
            return client.withdraw_dispute(document)
        if signed.type == "obligation":
            return client.promise(document)
        if signed.type == "release":
            return client.release(document)
        if signed.type == "answer":
            return client.answer(str(signed.body["run_id"]), document)
        raise AgentRefused(f"a document of type {signed.type!r} is not sent from here")

    def _under_key_in_force(self, row: Own) -> SignedDocument:
        """Return a stored document; an answer that a replaced key signed is signed by the one in its place.

        A rotation that was on its way longer than anybody waited can come before an answer. A run is answered once:
        what the answer says stays the same, and so does its hash.
        """
        signed, state, identity = SignedDocument.parse(row.document), self._party.history.state, self._party.identity
        in_force = None if state is None else state.public.identity
        if not isinstance(row, OwnAnswer) or signed.signer == in_force or identity.public_key != in_force:
            return signed
        signed = identity.sign("answer", signed.body)
        with self._party.store.unit_of_work() as session:
            session.get_one(OwnAnswer, row.run_id).document = signed.to_json()
        return signed

    def _entered(self, row: OwnAnswer) -> bool:
        """Read the run, and return whether an entry has its answer: one that was sent before, whose reply was lost.

        What the operator entered is no obstacle, whatever it says to the same answer again; entry and settlement are
        the receipt.

        Raises:
            RemoteError: the operator does not answer; nothing is superseded on its silence.
        """
        view = self._party.client.run(row.run_id)
        self._party.history.sync()
        with self._party.store.unit_of_work() as session:
            entered = session.get_one(OwnAnswer, row.run_id).entry is not None
        if not entered and view.state in _ANSWERED:
            self._party.said.error(
                _log, "no receipt", f"the operator shows run {row.run_id} as {view.state}, and no entry has its answer"
            )
        return entered

    def _supersede(self, sha256: str, reason: str) -> None:
        with self._party.store.unit_of_work() as session:
            row = find_sent(session, sha256)
            if row is None:
                raise AgentRefused(f"document {sha256[:16]}… is not stored; it must not have been sent")
            row.superseded = reason

    def _pauses(self, signed: SignedDocument) -> bool:
        refused = self._refused.get(signed.body_hash())
        return refused is not None and self._party.settings.clock() < refused + timedelta(seconds=RESEND_SECONDS)

    def _hand_on(self) -> None:
        """Hand on what no entry has for too long."""
        if self._deliver is None:
            return
        bound = self._party.settings.clock() - timedelta(seconds=self._party.settings.deliver_after)
        for row in self.outstanding():
            late = datetime.fromisoformat(row.stored_at) <= bound
            if late and row.sha256 is not None and row.sha256 not in self._delivered:
                try:
                    self._deliver(row.sha256)
                except RemoteError as error:
                    # Whoever does not answer here must not keep a run from its answer.
                    _log.warning("%s", error)
                    continue
                self._delivered.add(row.sha256)


def _obstacle(signed: SignedDocument, account: Account | None, head: str) -> str | None:
    """Return why no entry can have a document any more, None if one can."""
    if account is None:
        return None
    public, run = account.public, account.public.run
    if signed.type in ("dispute", "dispute-withdrawal"):
        return obstacle_of_dispute(signed, public)
    if public.status in ENDED and (public.status is AccountState.IN_DEFAULT or signed.type != "collateral-instruction"):
        return "the account is in default"
    if signed.signer != public.identity:
        return "the identity key that signed it was replaced"
    if signed.type == "submission":
        submission = Submission.parse(signed.body)
        if submission.sequence <= public.submissions:
            return f"another submission has its number, {submission.sequence}"
        return None if submission.evaluation_keys == public.keys else "other keys than its are in force"
    if signed.type == "collateral-instruction":
        number = CollateralInstruction.parse(signed.body).sequence
        return None if number > public.instructions else f"another instruction has its number, {number}"
    if signed.type == "readers":
        number = Readers.parse(signed.body).sequence
        return None if number > public.readers else f"another list of readers has its number, {number}"
    if signed.type == "obligation":
        number, netting = Obligation.parse(signed.body).sequence, account.private.netting
        last = 0 if netting is None else netting.obligations
        return None if number > last else f"another obligation has its number, {number}"
    if signed.type == "release":
        return None if Release.parse(signed.body).entry == head else "the account went on since it was made"
    if signed.type == "coverage":
        return None if Coverage.parse(signed.body).entry == head else "the account went on since it was made"
    answer = Answer.parse(signed.body)
    if run is None or run.record != answer.run or run.stage not in ("awaiting", "unproven"):
        return f"run {answer.run_id} takes no answer any more"
    return None
