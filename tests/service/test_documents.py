"""The bodies of signed documents: strict, canonical, and with errors that name the field."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentError, MalformedDocument
from atomic_margin.service.errors import MalformedRequest
from atomic_margin.service.protocol import documents
from atomic_margin.service.protocol.account import entries, events
from atomic_margin.service.protocol.bodies import Body, DocumentClaim, parse_signed
from atomic_margin.service.protocol.documents import (
    Answer,
    AnswerClaim,
    CollateralInstruction,
    EnrolmentConfirmation,
    RunRecord,
    Settlement,
)
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import Submission, SubmissionClaim
from atomic_margin.service.protocol.ticks import Price, PriceTick
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import Attestation

from .bodies import BODIES, DOCUMENTS, KEY, OPTIONAL, TEXTS, H

IDENTITY = Identity.generate()
EACH_FIELD = [(kind, name) for kind, body in DOCUMENTS for name in body]


def names(value: Any) -> str:
    return getattr(value, "__name__", str(value))


def body_of(kind: Any) -> dict[str, Any]:
    return copy.deepcopy(dict(DOCUMENTS)[kind])


def test_every_body_is_covered_here() -> None:
    defined = {
        value
        for module in (documents, events, entries)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Body) and value is not Body
    }
    assert defined | {Attestation, Price, PriceTick} == set(BODIES)


@pytest.mark.parametrize("kind", BODIES, ids=names)
def test_a_body_goes_round_through_a_signed_document(kind: type[Body]) -> None:
    signed = kind.parse(body_of(kind)).signed_by(IDENTITY)
    assert signed.body == body_of(kind)
    again, typed = parse_signed(signed.to_json(), kind)
    again.verify(frozenset({IDENTITY.public_key}))
    assert typed == kind.parse(body_of(kind))


@pytest.mark.parametrize(("kind", "field"), EACH_FIELD, ids=names)
def test_a_missing_field_is_named(kind: Any, field: str) -> None:
    body = body_of(kind)
    del body[field]
    if (kind, field) in OPTIONAL:
        kind.parse(body)
        return
    with pytest.raises(DocumentError, match="missing") as caught:
        kind.parse(body)
    assert caught.value.field == field


@pytest.mark.parametrize(("kind", "field"), EACH_FIELD, ids=names)
@pytest.mark.parametrize("wrong", [7, True, 1.5, "", "\x00", "-1 ", "§"], ids=repr)
def test_a_mistyped_field_is_named(kind: Any, field: str, wrong: object) -> None:
    if wrong == "-1 " and (kind, field) in TEXTS:
        kind.parse({**body_of(kind), field: wrong})
        return
    with pytest.raises(DocumentError) as caught:
        kind.parse({**body_of(kind), field: wrong})
    assert caught.value.field == field


@pytest.mark.parametrize("kind", [kind for kind, _ in DOCUMENTS], ids=names)
@pytest.mark.parametrize("name", ["comment", "Institution", "__class__", "model_config", "a b", "[/x]"])
def test_an_unknown_field_is_named(kind: Any, name: str) -> None:
    with pytest.raises(DocumentError, match="no such field") as caught:
        kind.parse({**body_of(kind), name: "1"})
    assert caught.value.field == name


def hex_fields() -> Iterator[Any]:
    for kind, body in DOCUMENTS:
        for name, value in body.items():
            if value in (H, KEY):
                yield pytest.param(kind, name, id=f"{kind.__name__}-{name}")


@pytest.mark.parametrize(("kind", "field"), list(hex_fields()))
def test_hashes_and_keys_have_one_spelling(kind: Any, field: str) -> None:
    good = body_of(kind)[field]
    for wrong in (good.upper(), good[:-1], good[:-2], good + "00", "0x" + good[2:], good[:-1] + "g", good[:-1] + "\n"):
        with pytest.raises(DocumentError) as caught:
            kind.parse({**body_of(kind), field: wrong})
        assert caught.value.field == field


def counters() -> Iterator[Any]:
    for kind in BODIES:
        for name in kind.model_fields:
            if name in (
                "key_sequence",
                "sequence",
                "gross_limit",
                "number",
                "instructions",
                "submission_sequence",
                "price_sequence",
            ):
                yield pytest.param(kind, name, id=f"{kind.__name__}-{name}")


@pytest.mark.parametrize(("kind", "field"), list(counters()))
@pytest.mark.parametrize("wrong", ["-1", "+1", "01", "1.0", "1e3", " 1", "1\n", "1_0", "NaN", "٣", str(2**63)])
def test_counters_have_one_spelling_and_a_range(kind: Any, field: str, wrong: str) -> None:
    with pytest.raises(DocumentError) as caught:
        kind.parse({**body_of(kind), field: wrong})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "path", "value", "field"),
    [
        (Submission, ["commitments", 1], "AB" * 48, "commitments[1]"),
        (Submission, ["commitments", 0], "ab" * 47, "commitments[0]"),
        (Submission, ["portfolio_proof"], "abc", "portfolio_proof"),
        (Submission, ["portfolio_proof"], "00" * 65536, "portfolio_proof"),
        (Submission, ["commitments"], ["ab" * 48] * 4097, "commitments"),
        (RunRecord, ["posted", "USDC"], "-1", "posted.USDC"),
        (RunRecord, ["matrices", "initial_fhe"], "x", "matrices.initial_fhe"),
        (RunRecord, ["matrices", "other"], H, "matrices.other"),
        (RunRecord, ["outputs"], {"surplus": H}, "outputs.breach"),
        (RunRecord, ["deadline"], "2026-02-30T08:00:00Z", "deadline"),
        (RunRecord, ["deadline"], "2026-11-20T08:00:00+00:00", "deadline"),
        (Answer, ["outcome"], "unknown", "outcome"),
        (Answer, ["flag"], "0", "flag"),
        (Answer, ["top_up"], "-1", "top_up"),
        (Answer, ["top_up_usd"], "-1", "top_up_usd"),
        (Answer, ["top_up_usd"], "0.0", "top_up_usd"),
        (Settlement, ["top_up_usd"], "0", "top_up_usd"),
        (Settlement, ["transfers", 0, "quantity"], "-5", "transfers[0].quantity"),
        (Settlement, ["transfers", 0, "source"], "external", "transfers[0].source"),
        (Settlement, ["transfers", 0, "destination"], "free", "transfers[0].destination"),
        (Settlement, ["flag"], "attested", "flag"),
        (CollateralInstruction, ["action"], "steal", "action"),
        (CollateralInstruction, ["quantity"], "-1", "quantity"),
        (EnrolmentConfirmation, ["known_answers"], "wrong", "known_answers"),
        (TrustFile, ["institutions", "fund"], "x", "institutions.fund"),
        (TrustFile, ["prices", "sources", 0], "x", "prices.sources[0]"),
        (PriceRules, ["outlier", "rate"], "0", "outlier.rate"),
        (PriceTick, ["dropped", 0, "reason"], "sick", "dropped[0].reason"),
        (PriceTick, ["previous"], "x", "previous"),
        (PriceTick, ["previous"], "0" * 64, "previous"),
        (PriceTick, ["sequence"], "1", "previous"),
        (PriceTick, ["market", "rate"], "x", "market.rate"),
        (Price, ["market", "rate"], "x", "market.rate"),
        (Price, ["last_market"], "x", "last_market"),
    ],
    ids=lambda value: names(value)[:24],
)
def test_the_path_leads_to_the_wrong_part(kind: Any, path: list[Any], value: object, field: str) -> None:
    body = body_of(kind)
    place: Any = body
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(DocumentError) as caught:
        kind.parse(body)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "body",
    [
        {**BODIES[Answer], "flag": None},
        {**BODIES[Answer], "flag": None, "flag_output": None},
    ],
    ids=["one", "two"],
)
def test_a_body_that_is_not_canonical_is_refused(body: dict[str, Any]) -> None:
    """Two spellings of one answer would have two hashes."""
    document = IDENTITY.sign("answer", body).to_json()
    with pytest.raises(MalformedRequest, match="canonical") as caught:
        parse_signed(document, Answer)
    assert caught.value.field == "body"


PROOFS = {
    SubmissionClaim: (Submission, ("portfolio_proof", "encryption_proof", "gain_proof")),
    AnswerClaim: (Answer, ("sufficiency_proof", "decryption_proof", "breach_proof")),
}


@pytest.mark.parametrize("claim", PROOFS, ids=lambda claim: claim.__name__)
def test_a_document_is_its_claim_with_proofs(claim: type[DocumentClaim]) -> None:
    document, proofs = PROOFS[claim]
    more = {"gain": BODIES[document]["gain"]} if document is Submission else {}
    absent = {"sharing"} if document is Submission else set()
    assert set(document.model_fields) - set(claim.model_fields) == {*proofs, *more} | absent
    said = {name: value for name, value in BODIES[document].items() if name not in proofs and name not in more}
    made = claim.parse(said).proven(document, more, **{name: bytes.fromhex(BODIES[document][name]) for name in proofs})
    assert made == document.parse(BODIES[document])
    with pytest.raises(MalformedDocument) as refused:
        claim.parse(BODIES[document])
    assert refused.value.field == proofs[0]


def test_proofs_are_bound_to_the_claim_and_not_to_each_other() -> None:
    record, submission, answer = (kind.parse(BODIES[kind]) for kind in (RunRecord, Submission, Answer))
    other = {"portfolio_proof": "ee", "encryption_proof": "ee"}
    assert Submission.parse({**BODIES[Submission], **other}).proof_context() == submission.proof_context()
    others = {"sufficiency_proof": "ee", "decryption_proof": "ee", "breach_proof": "ee"}
    assert Answer.parse({**BODIES[Answer], **others}).proof_context(record, H) == answer.proof_context(record, H)
    claim = SubmissionClaim.parse(
        {name: BODIES[Submission][name] for name in SubmissionClaim.model_fields if name in BODIES[Submission]}
    )
    assert claim.proof_context() == submission.proof_context()


@pytest.mark.parametrize("kind", BODIES, ids=names)
def test_a_document_of_another_type_is_refused(kind: type[Body]) -> None:
    other = next(each for each in BODIES if each is not kind)
    document = IDENTITY.sign(other.TYPE, body_of(kind)).to_json()
    with pytest.raises(MalformedRequest, match=f"'{kind.TYPE}' is wanted here, this is '{other.TYPE}'") as caught:
        parse_signed(document, kind)
    assert caught.value.field == "type"


HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
KEYS = st.binary(min_size=32, max_size=32).map(
    lambda seed: Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()
)
COUNTERS = st.integers(0, 10**15).map(str)
IDENTIFIERS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(
    st.fixed_dictionaries(
        {
            "run_id": IDENTIFIERS,
            "run": HASHES,
            "entry": HASHES,
            "operator": KEYS,
            "institution": IDENTIFIERS,
            "submission": HASHES,
            "price_sequence": COUNTERS,
            "outcome": st.sampled_from(["covered", "breach"]),
            "top_up": COUNTERS,
            "top_up_usd": st.just("0") | st.decimals("0.000001", 10**12, allow_nan=False).map(lambda x: f"{x:f}"[:30]),
            "sufficiency_proof": st.binary(min_size=1, max_size=65535).map(bytes.hex),
        },
        optional={"flag": st.just("1"), "flag_output": HASHES},
    )
)
def test_answers_go_round(body: dict[str, Any]) -> None:
    if not body["top_up_usd"].strip("0."):
        body["top_up_usd"] = "0"
    assert Answer.parse(body).canonical() == body
    assert Answer.parse(Answer.parse(body).canonical()) == Answer.parse(body)


@given(
    st.fixed_dictionaries(
        {
            "institution": IDENTIFIERS,
            "operator": KEYS,
            "sequence": COUNTERS,
            "entry": HASHES,
            "action": st.sampled_from(["post", "withdraw"]),
            "asset": IDENTIFIERS,
            "quantity": st.integers(0, 10**24).map(str),
        }
    )
)
def test_instructions_go_round(body: dict[str, Any]) -> None:
    signed, typed = parse_signed(CollateralInstruction.parse(body).signed_by(IDENTITY).to_json(), CollateralInstruction)
    assert typed.canonical() == signed.body == body
