"""Enrolment from the institution's side: keys, upload, and the known-answer test.

Whether the operator has admitted the institution is asked before keys are made, and keys that it never took are brought
again (`key_sets`). The institution tells the operator only that the known answers came out right, never a decrypted
bit: whoever could have arbitrary ciphertexts decrypted would have the key. A test that fails costs the keys, so nothing
adds up over attempts.
"""

import hashlib
import logging
from http import HTTPStatus

from atomic_margin.fhe.errors import FheError
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.known_answer import KNOWN_ANSWERS
from atomic_margin.service.errors import AgentRefused, NotAdmitted, RemoteError
from atomic_margin.service.institution.openings import commit_keys
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.store import OwnKeys
from atomic_margin.service.protocol.documents import Enrolment, EnrolmentConfirmation
from atomic_margin.service.protocol.messages import KnownAnswer

_MAX_OUTPUT_HEX = 1 << 20
_OF_KEYS = ("evaluation_keys", "known_answer_input", "input_key", "flag_key")
"""Fields of an enrolment that the operator refuses because of the keys themselves."""

_REFUSED = (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)

_log = logging.getLogger(__name__)


def enrol(party: Party, outbox: Outbox, secret: bytes) -> None:
    """Make keys, upload the evaluation keys, and confirm the known-answer test. Does nothing once that is done.

    Args:
        party: with its history at the newest entry, where it has one.
        outbox: keeps what is sent.
        secret: hedges the blindings of the commitments to the keys.

    Raises:
        RemoteError: the operator refuses or does not answer; the next call goes on from there.
        DiskTooFull: there is no room for keys.
        AgentRefused: the known answers came out wrong; the next call makes new keys.
    """
    store = party.store
    if store.note("enrolled"):
        return
    # A confirmation whose reply was lost is sent again: its keys may be active already and must not be replaced.
    passed = store.note("passed")
    if not passed or not _confirm(party, outbox, passed):
        _confirm(party, outbox, _upload(party, outbox, secret))
    party.keys.sets.prune(party.history.state)
    party.stage("enrolled")


def _upload(party: Party, outbox: Outbox, secret: bytes) -> str:
    """Make keys, have them tried, and return the hash of evaluation keys that passed."""
    brought_again = party.keys.sets.unused() is not None
    try:
        return _try_keys(party, outbox, secret)
    except RemoteError as error:
        if not (brought_again and error.status == HTTPStatus.CONFLICT and party.keys.sets.unused() is None):
            raise
        # The operator has them from an attempt whose reply was lost.
        return _try_keys(party, outbox, secret)


def _try_keys(party: Party, outbox: Outbox, secret: bytes) -> str:
    """Bring keys to the operator, once; see `_upload`."""
    settings, terms, store, stage = party.settings, party.terms, party.store, party.stage
    stage("generating keys")
    store.set_note("passed", "")
    # Stored before it is used: after a lost reply the operator may have seen this number. The account knows of numbers
    # that an older backup of this directory does not.
    state = party.history.state
    sequence = max(int(store.note("key_sequence") or 0), 0 if state is None else state.public.key_sequence) + 1
    store.set_note("key_sequence", str(sequence))
    keys = party.keys.sets.take(sequence)
    evaluation_keys, known_answer_input = keys.evaluation_keys(), keys.known_answer_input()
    openings = commit_keys(keys, secret, {"institution": settings.institution, "operator": settings.trust.operator})
    enrolment = Enrolment.parse(
        {
            "institution": settings.institution,
            "operator": settings.trust.operator,
            "profile": terms.hashes["profile"],
            "key_sequence": str(sequence),
            "evaluation_keys": hashlib.sha256(evaluation_keys).hexdigest(),
            "known_answer_input": hashlib.sha256(known_answer_input).hexdigest(),
            "input_key": [point.hex() for point in openings.pair.input.commitments],
            "flag_key": [point.hex() for point in openings.pair.flag.commitments],
        }
    )
    stage("uploading evaluation keys")
    signed = enrolment.signed_by(party.identity)
    outbox.keep(signed)
    try:
        challenge = party.client.enrol(signed.to_json(), evaluation_keys, known_answer_input)
    except RemoteError as error:
        if error.status in _REFUSED and str(error.problem.get("field")) in _OF_KEYS:
            party.keys.sets.refused()
        raise
    stage("checking the known answers")
    try:
        _check_known_answers(keys, challenge.known_answers)
    except AgentRefused:
        party.keys.sets.refused()
        raise
    with store.unit_of_work() as session:
        # The same keys may have been tried under another number before.
        session.merge(
            OwnKeys(
                evaluation_keys=enrolment.evaluation_keys,
                sequence=sequence,
                key_commitments=openings.pair.hash,
                openings=openings.to_json(),
            )
        )
    store.set_note("passed", enrolment.evaluation_keys)
    return enrolment.evaluation_keys


def require_admission(party: Party) -> None:
    """Make sure that the operator has admitted the institution under its key, before anything else is asked or made.

    Raises:
        NotAdmitted: it has not, or has under another key.
        RemoteError: it does not answer.
    """
    party.stage("asking for admission")
    identity = party.identity.public_key
    if not party.client.admitted(identity):
        name = party.settings.institution
        raise NotAdmitted(
            f"the operator has not admitted {name!r} under the identity key {identity}; give it that name and key, to "
            "be admitted under them"
        )


def _check_known_answers(keys: InstitutionKeys, answers: tuple[KnownAnswer, ...]) -> None:
    if len(answers) != KNOWN_ANSWERS:
        raise AgentRefused(f"the operator's known-answer test does not have {KNOWN_ANSWERS} evaluations")
    for number, answer in enumerate(answers):
        if len(answer.output) > _MAX_OUTPUT_HEX:
            raise AgentRefused(f"the operator's known-answer test is malformed: known_answers[{number}].output is long")
        try:
            # The expected flags are this side's knowledge, not the operator's word.
            right = int(keys.decrypt("known_answer", bytes.fromhex(answer.output)).values[0]) == number % 2
        except (FheError, ValueError):
            right = False
        if not right:
            raise AgentRefused("the known answers are wrong: the keys were damaged on the way; new ones are made")


def _confirm(party: Party, outbox: Outbox, passed: str) -> bool:
    """Confirm keys that passed; return whether the operator still knows them."""
    settings, store = party.settings, party.store
    confirmation = EnrolmentConfirmation.parse(
        {
            "institution": settings.institution,
            "operator": settings.trust.operator,
            "evaluation_keys": passed,
            "known_answers": "right",
        }
    )
    signed = confirmation.signed_by(party.identity)
    outbox.keep(signed)
    try:
        party.client.confirm(signed.to_json())
    except RemoteError as error:
        if error.problem.get("field") == "evaluation_keys":
            return False
        raise
    own = store.keys(passed)
    if own is not None:
        party.keys.sets.confirmed(own.sequence)
        _log.info("FHE keys number %d are confirmed", own.sequence)
    store.set_note("evaluation_keys", passed)
    store.set_note("enrolled", "yes")
    return True
