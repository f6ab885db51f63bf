"""Enrolment from the institution's side: keys, upload, and the known-answer test.

The institution tells the operator only that the known answers came out right, never a decrypted bit: whoever could have
arbitrary ciphertexts decrypted would have the key. A test that fails costs the keys, so nothing adds up over attempts.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atomic_margin.fhe.errors import FheError
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.known_answer import KNOWN_ANSWERS
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.institution.openings import commit_keys
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, OwnKeys
from atomic_margin.service.protocol.documents import Enrolment, EnrolmentConfirmation
from atomic_margin.service.protocol.messages import KnownAnswer
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms

JsonObject = dict[str, Any]

_MAX_OUTPUT_HEX = 1 << 20


def enrol(
    settings: AgentSettings,
    terms: Terms,
    identity: Identity,
    secret: bytes,
    store: InstitutionStore,
    client: OperatorClient,
    stage: Callable[[str], None],
) -> None:
    """Make keys, upload the evaluation keys, and confirm the known-answer test. Does nothing once that is done.

    Raises:
        RemoteError: the operator refuses or does not answer; the next call goes on from there.
        AgentRefused: the known answers came out wrong; the next call makes new keys.
    """
    if store.note("enrolled"):
        return
    # A confirmation whose reply was lost is sent again: its keys may be active already and must not be replaced.
    passed = store.note("passed")
    if not passed or not _confirm(settings, identity, store, client, passed):
        _confirm(settings, identity, store, client, _upload(settings, terms, identity, secret, store, client, stage))
    stage("enrolled")


def key_path(directory: Path, sequence: int) -> Path:
    """Return where the secret keys with that sequence number are."""
    return directory / f"fhe-{sequence}.keys"


def _upload(
    settings: AgentSettings,
    terms: Terms,
    identity: Identity,
    secret: bytes,
    store: InstitutionStore,
    client: OperatorClient,
    stage: Callable[[str], None],
) -> str:
    """Make keys, have them tried, and return the hash of evaluation keys that passed."""
    stage("generating keys")
    store.set_note("passed", "")
    keys = InstitutionKeys.generate(terms.profile)
    evaluation_keys, known_answer_input = keys.evaluation_keys(), keys.known_answer_input()
    openings = commit_keys(keys, secret, {"institution": settings.institution, "operator": settings.trust.operator})
    # Stored before it is used: after a lost reply the operator may have seen this number.
    sequence = int(store.note("key_sequence") or 0) + 1
    store.set_note("key_sequence", str(sequence))
    keys.save(key_path(settings.directory, sequence))
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
    challenge = client.enrol(enrolment.signed_by(identity).to_json(), evaluation_keys, known_answer_input)
    stage("checking the known answers")
    _check_known_answers(keys, challenge.known_answers)
    store.set_note("token", challenge.token)
    with store.unit_of_work() as session:
        session.add(
            OwnKeys(
                evaluation_keys=enrolment.evaluation_keys,
                sequence=sequence,
                key_commitments=openings.pair.hash,
                openings=openings.to_json(),
            )
        )
    store.set_note("passed", enrolment.evaluation_keys)
    return enrolment.evaluation_keys


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


def _confirm(
    settings: AgentSettings, identity: Identity, store: InstitutionStore, client: OperatorClient, passed: str
) -> bool:
    """Confirm keys that passed; return whether the operator still knows them."""
    confirmation = EnrolmentConfirmation.parse(
        {
            "institution": settings.institution,
            "operator": settings.trust.operator,
            "evaluation_keys": passed,
            "known_answers": "right",
        }
    )
    client.token = store.note("token")
    try:
        client.confirm(confirmation.signed_by(identity).to_json())
    except RemoteError as error:
        if error.problem.get("field") == "evaluation_keys":
            return False
        raise
    store.set_note("evaluation_keys", passed)
    store.set_note("enrolled", "yes")
    return True
