"""Which run is answered: the one that the account's replica has open, by the record that its entry has, and no other.

The submission, collateral and tick it is on are those that the account machine fixed, so a genuine run about another
book, another tick or less collateral is none that could be asked for. What is decided is stored before it is sent, and
decided once: the two runs of one tick are about the same book and matrices, and get the same answer.

To a run without outputs the agent says `covered`, with the proof, or nothing. Nothing is decrypted for it. Silence says
what a breach answer would say seconds later.
"""

import logging
from functools import partial
from http import HTTPStatus
from time import perf_counter

from atomic_margin.fhe.errors import DecryptionOutOfRange
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution.answers import decide, private_figures
from atomic_margin.service.institution.cosigned import NotCosignedYet, require_alone, require_cosigned
from atomic_margin.service.institution.openings import read_openings
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.runs import (
    CheckedRun,
    DecryptedFlag,
    EvaluationMismatch,
    check_run,
    decrypt_and_compare,
    present,
)
from atomic_margin.service.institution.store import OwnAnswer, OwnSubmission
from atomic_margin.service.institution.unsent import closed_book
from atomic_margin.service.protocol.account.state import OpenRun
from atomic_margin.service.protocol.agent_messages import PrivateFigures
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission

ANSWERABLE = ("awaiting", "unproven")
"""Stages of an open run in which the machine takes an answer to it."""

_log = logging.getLogger(__name__)
_FAILED = (
    "run {} could not be evaluated, and its book is in breach: custodians open it after its time, if it is not proven "
    "covered with more collateral before"
)


class WordsLost(AgentRefused):
    """The operator does not have the words of a run's output that its record names."""


def open_run(party: Party) -> OpenRun | None:
    """Return the run that takes an answer now, if there is one."""
    state = party.history.state
    run = None if state is None else state.public.run
    return run if run is not None and run.stage in ANSWERABLE else None


def decided(party: Party, run: OpenRun) -> OwnAnswer | None:
    """Return what was decided about a run, if it was."""
    with party.store.unit_of_work() as session:
        return session.get(OwnAnswer, run.run_id)


def prepare(party: Party, policy: Policy) -> None:
    """Check the open run, decide, prove, and store the answer; nothing is sent. Does so once for a run.

    Args:
        party: with its history at the newest entry.
        policy: the operator's policy as it shows it now.

    Raises:
        RemoteError: the operator does not answer.
        KeyStoreError: the file of the run's keys is missing or damaged.
    """
    run = open_run(party)
    if run is None or decided(party, run) is not None:
        return
    started = perf_counter()
    try:
        own, checked = _checked(party, run, policy)
    except NotCosignedYet as reason:
        party.said.info(_log, "no answer yet", str(reason))
        party.stage("waiting for witnesses")
        return
    except AgentRefused as refusal:
        party.said.error(_log, "no answer", str(refusal))
        party.stage("refused a run")
        return
    if not run.evaluated and not checked.covered:
        # Nothing is said before it is evaluated, and nothing was decrypted; where that failed there is no flag.
        if run.failed:
            party.said.error(_log, "no answer", _FAILED.format(run.run_id))
        _keep(party, checked, None, private_figures(checked, None, None, perf_counter() - started, 0.0))
        return
    party.stage("decrypting")
    flag: DecryptedFlag | None = None
    own_keys = party.keys.of(run.evaluation_keys)
    keys = party.keys.secret(own_keys)
    try:
        if run.evaluated:
            flag = decrypt_and_compare(checked, keys, partial(_words, party, run.run_id))
    except WordsLost as refusal:
        _log.error("no answer: %s", refusal)
        party.stage("refused a run")
        if run.stage == "unproven":
            # They will not come any more: the book is proven covered without the run, see `coverage`.
            _keep(party, checked, None, private_figures(checked, None, None, perf_counter() - started, 0.0))
        return
    except (DecryptionOutOfRange, EvaluationMismatch) as reason:
        party.keys.raise_alarm(own_keys, str(reason))
    if own_keys.alarm is not None:
        flag = None
    decrypted = perf_counter()
    party.stage("proving")
    signed = decide(
        checked,
        Submission.parse(own.document["body"]),
        own,
        flag,
        partial(read_openings, keys, own_keys.openings),
        party.terms,
        party.identity,
        # The entry that has the record is the last one as long as none came after it.
        entry=run.entry or party.history.head,
    )
    proved = perf_counter()
    _keep(party, checked, signed, private_figures(checked, flag, signed, decrypted - started, proved - decrypted))
    _log.info("run %s: %s", run.run_id, "nothing is answered" if signed is None else "the answer is signed")


def _words(party: Party, run_id: str, function: str) -> bytes:
    """Return the words of an output.

    Raises:
        WordsLost: the operator does not have them.
        RemoteError: it does not answer.
    """
    try:
        return party.client.output(run_id, function)
    except RemoteError as error:
        if error.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise
        raise WordsLost(
            f"the operator signed the record of run {run_id!r} and has no words of {function} any more, as after an "
            "older backup; once its time is over, the book is proven covered without it"
        ) from error


def _checked(party: Party, run: OpenRun, policy: Policy) -> tuple[OwnSubmission, CheckedRun]:
    """Return the submission that the open run is about, and the run, checked.

    Raises:
        AgentRefused: the operator shows another record, the record is not what the agent pinned, or its prices are old.
        RemoteError: the operator does not answer.
    """
    own = party.store.submission(run.submission)
    if own is None:
        raise AgentRefused(closed_book(run.run_id, party.settings.directory))
    presented = present(party.client.run(run.run_id))
    require_cosigned(party.settings, party.store, run, presented.view.evidence)
    require_alone(party.watch, party.store, run)
    if presented.signed.body_hash() != run.record:
        raise AgentRefused(f"run {run.run_id!r} is shown with another record than the account's entries have")
    if not run.owes and policy is not Policy.UNLESS_PROVEN:
        raise AgentRefused(
            f"run {run.run_id!r} was not evaluated, but the operator's policy is {policy.value!r}; talk to it"
        )
    submission, book = Submission.parse(own.document["body"]), Portfolio.parse(own.portfolio)
    checked = check_run(presented, party.settings.trust, party.terms, submission, own.sha256, book)
    party.chain.require_fresh(checked.market)
    return own, checked


def _keep(party: Party, run: CheckedRun, signed: SignedDocument | None, figures: PrivateFigures) -> None:
    """Store what was decided about a run.

    Raises:
        AgentRefused: the other run of the tick was answered otherwise.
    """
    record: RunRecord = run.record
    with party.store.unit_of_work() as session:
        for other in session.query(OwnAnswer).filter_by(price_sequence=record.price_sequence):
            if (
                signed is not None
                and other.document is not None
                and _said(other.document["body"]) != _said(signed.body)
            ):
                raise AgentRefused(f"run {record.run_id!r} would get another answer than {other.run_id!r} at its tick")
        session.add(
            OwnAnswer(
                run_id=record.run_id,
                price_sequence=record.price_sequence,
                run_hash=run.run_hash,
                sha256=None if signed is None else signed.body_hash(),
                document=None if signed is None else signed.to_json(),
                figures=figures.to_json(),
                stored_at=party.settings.clock().isoformat(),
            )
        )


def _said(body: dict[str, object]) -> tuple[object, ...]:
    return tuple(body[name] for name in ("submission", "outcome", "top_up"))
