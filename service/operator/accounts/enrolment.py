"""Admit an institution, take its evaluation keys, and activate them when it confirms the known-answer test.

Uploaded bytes are checked in a worker process before anything is stored. The institution knows which flags to expect
and says only whether they came out right; what it decrypts does not leave it.
"""

import secrets
from pathlib import Path

from sqlalchemy import func, select

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.circuits.layout import layout_of
from atomic_margin.documents.fields import now_text
from atomic_margin.fhe.errors import FheError
from atomic_margin.fhe.known_answer import KNOWN_ANSWERS
from atomic_margin.fhe.messages import words_from_bytes
from atomic_margin.fhe.worker import KeyFile
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.errors import Conflict, NotFound, QuotaExceeded, Refused
from atomic_margin.service.operator.accounts import halts
from atomic_margin.service.operator.accounts.identities import require_free
from atomic_margin.service.operator.disk import require_room
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, EnrolledKeys
from atomic_margin.service.protocol.account.events import AdmissionRecord
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.documents import Enrolment, EnrolmentConfirmation
from atomic_margin.service.protocol.keys import key_pair
from atomic_margin.service.protocol.messages import Challenge, KnownAnswer
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.states import SUBMITTING
from atomic_margin.service.protocol.submissions import Allowances
from atomic_margin.service.protocol.terms import terms_hash


def admit(
    operator: Operator,
    institution: str,
    name: str,
    identity: str,
    allowances: Allowances | None = None,
    agreement: CollateralAgreement | None = None,
    custody: CustodyPolicy | None = None,
) -> None:
    """Admit an institution under its Ed25519 public key.

    Args:
        operator: who admits it.
        institution: its name here.
        name: its name for people.
        identity: its public key.
        allowances: by how much its books may have gained more than those they replace; the operator's usual ones by
            default.
        agreement: terms of collateral between both sides, if there are any.
        custody: who holds shares of its books, if anybody is to.

    Raises:
        UnknownAsset, IneligibleAsset: the agreement names an asset that the schedule does not have, or not what an
            asset becomes.
        InitialBelowMaintenance: there is a custody policy, and under the terms a book may be in breach that custodians
            could not open; the message says what to change.
        Conflict: the name or the key is taken.
    """
    if agreement is not None:
        agreement.check_schedule(operator.terms.schedule)
    if custody is not None:
        operator.terms.model.check_initial_margin(operator.terms.schedule)
    with operator.announcing, operator.store.unit_of_work() as session:
        if session.get(Account, institution) is not None:
            raise Conflict(f"institution {institution!r} is admitted already", "institution")
        require_free(session, identity, "identity")
        admission = AdmissionRecord.parse(
            {
                "institution": institution,
                "operator": operator.identity.public_key,
                "identity": identity,
                "terms": terms_hash(operator.terms),
                "universe": operator.terms.universe.hash(),
                "allowances": (allowances or operator.settings.allowances).canonical(),
                "admitted_at": now_text(),
                **({} if agreement is None else {"agreement": agreement.canonical()}),
                **({} if custody is None else {"custody": custody.canonical()}),
            }
        )
        account = Account(institution=institution, name=name, identity=identity, seed=secrets.token_hex(32))
        entries.open_account(session, operator.book, account, admission.signed_by(operator.identity))
        halts.tell(operator, session, account)


def enrol(operator: Operator, institution: str, document: object) -> Challenge:
    """Check and store evaluation keys that were uploaded; return the known-answer outputs that must be decrypted.

    Raises:
        SignatureInvalid, Refused, Conflict, DocumentError: what is wrong with the document.
        Conflict: what the document names is not uploaded; or the institution has as many keys as it may have.
        Refused: the bytes are no evaluation keys of the profile; nothing is stored.
    """
    signed, enrolment = parse_signed(document, Enrolment)
    _check(operator, institution, signed)
    if enrolment.profile != operator.terms.hashes["profile"]:
        raise Refused(
            f"these keys are for another profile; make keys for {operator.terms.profile.name!r} "
            f"({operator.terms.hashes['profile']})",
            "profile",
        )
    require_room(operator.settings, layout_of(operator.terms.profile).evaluation_key_bytes)
    # The commitments fit the profile's keys; proofs will show what is inside them.
    key_pair(operator.terms.profile, enrolment.input_key, enrolment.flag_key)
    named = {field: getattr(enrolment, field) for field in ("evaluation_keys", "known_answer_input")}
    files = {field: operator.uploads.whole(institution, sha256, field) for field, sha256 in named.items()}
    known_answers = _known_answers(operator, enrolment, files)

    for field, path in files.items():
        if operator.blobs.put_file(path) != named[field]:
            raise Conflict("the uploaded file was changed meanwhile; upload it again", field)
    with operator.store.unit_of_work() as session:
        row = session.get_one(Account, institution)
        if session.get(EnrolledKeys, enrolment.evaluation_keys) is not None:
            raise Conflict("these evaluation keys are enrolled already; make new ones", "evaluation_keys")
        entries.enter(session, operator.book, row, signed)
        attempts = select(EnrolledKeys).where(
            EnrolledKeys.institution == institution, EnrolledKeys.confirmed.is_(False)
        )
        abandoned = list(session.scalars(attempts))
        for attempt in abandoned:
            session.delete(attempt)
        session.add(
            EnrolledKeys(
                evaluation_keys=enrolment.evaluation_keys,
                institution=institution,
                sequence=enrolment.key_sequence,
                known_answer_input=enrolment.known_answer_input,
                document=signed.to_json(),
            )
        )
    for sha256 in named.values():
        operator.uploads.remove(institution, sha256)
    # Keys of an earlier attempt take tens of megabytes; what else no row names is removed at the next start.
    for attempt in abandoned:
        operator.blobs.remove(attempt.evaluation_keys)
    return Challenge(known_answers=tuple(known_answers))


def confirm(operator: Operator, institution: str, document: object) -> None:
    """Activate an account whose institution confirms the known answers. Confirming again changes nothing.

    Raises:
        SignatureInvalid, Conflict, DocumentError: what is wrong with the document.
    """
    account = operator.account(institution)
    signed, confirmation = parse_signed(document, EnrolmentConfirmation)
    signed.verify(frozenset({account.identity}))
    with operator.store.unit_of_work() as session:
        row = session.get_one(Account, institution)
        keys = session.get(EnrolledKeys, confirmation.evaluation_keys)
        if keys is None or keys.institution != institution:
            raise Conflict("no known-answer test is open for these keys; enrol first", "evaluation_keys")
        if not keys.confirmed:
            # Runs go on under the keys of the last submission until one under these arrives.
            entries.enter(session, operator.book, row, signed)
            keys.confirmed, row.nonce = True, None


def issue_nonce(operator: Operator, institution: str) -> str:
    """Return the nonce that the next submission must carry. It is only issued after the keys are fixed.

    Raises:
        Conflict: the account cannot submit in its state.
    """
    with operator.store.unit_of_work() as session:
        row = session.get(Account, institution)
        if row is None:
            raise NotFound(f"institution {institution!r} is not admitted here")
        if row.state not in SUBMITTING:
            raise Conflict(f"the account is {row.state}; it cannot submit", "state")
        row.nonce = secrets.token_hex(32)
        return row.nonce


def _known_answers(operator: Operator, enrolment: Enrolment, files: dict[str, Path]) -> list[KnownAnswer]:
    layout = layout_of(operator.terms.profile)
    if files["known_answer_input"].stat().st_size > layout.messages["input"].size:
        raise Refused("more words than an input of the profile has", "known_answer_input")
    known_answer_input = files["known_answer_input"].read_bytes()
    try:
        words_from_bytes(known_answer_input, layout.messages["input"])
    except FheError as error:
        raise Refused(str(error), "known_answer_input") from error
    # Both flags occur, in an order that the institution knows.
    challenges = tuple((secrets.token_bytes(16), number % 2) for number in range(KNOWN_ANSWERS))
    # Outside the blob folder until they have passed: the worker is the first to parse them.
    file = KeyFile(files["evaluation_keys"], enrolment.evaluation_keys, known_answer_input)
    try:
        outputs = operator.check_keys(file, challenges)
    except (FheError, CircuitError) as error:
        raise Refused(str(error), "evaluation_keys") from error
    return [
        KnownAnswer(seed=seed.hex(), flag=str(flag), output=output.hex())
        for (seed, flag), output in zip(challenges, outputs, strict=True)
    ]


def _check(operator: Operator, institution: str, signed: SignedDocument) -> None:
    """Refuse a document that could not be entered, before anything costly is done with it."""
    account = operator.account(institution)
    signed.verify(frozenset({account.identity}))
    with operator.store.reading() as session:
        entries.check(session, account, signed)
        confirmed = select(func.count()).where(EnrolledKeys.institution == institution, EnrolledKeys.confirmed)
        if (session.scalar(confirmed) or 0) >= operator.settings.limits.key_sets:
            most = operator.settings.limits.key_sets
            raise QuotaExceeded(f"the operator keeps {most} sets of keys of an institution at most", "evaluation_keys")
