"""Random and mutated JSON against every parser of documents from outside: a named error, or the document as it was.

Brief by default; ``ATOMIC_MARGIN_FUZZ=100000`` runs so many examples of each.
"""

import copy
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import AttestationInvalid, ServiceError
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.protocol.account.entries import Entry
from atomic_margin.service.protocol.bodies import Body, parse_signed
from atomic_margin.service.protocol.documents import (
    Answer,
    CollateralInstruction,
    Enrolment,
    EnrolmentConfirmation,
    RunRecord,
    Settlement,
)
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import Attestation, verify_attestation
from atomic_margin.zk.groups import Group

from .stages import Stages

Json = dict[str, Any]

EXAMPLES = int(os.environ.get("ATOMIC_MARGIN_FUZZ", "60"))
brief = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

BODIES: tuple[type[Body], ...] = (
    Answer, Attestation, CollateralInstruction, Enrolment, EnrolmentConfirmation, Entry, PriceTick, RunRecord,
    Settlement, Submission,
)  # fmt: skip

HEX = st.text("0123456789abcdef", max_size=130)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=40)
    | HEX
    | st.sampled_from(["0", "-1", "00", "1e3", str(2**63), "\ud800", "c0" + "00" * 47, "2026-02-30T00:00:00Z"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the outermost left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in ((*path, key), *paths(inner, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, document: Json) -> Json:
    """The document with one to three places replaced, removed, doubled or added to."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = paths(changed)
        if not places:
            break
        # First how deep, so that the many leaves of matrices do not hide the rest.
        depth = draw(st.sampled_from(sorted({len(place) for place in places})))
        place = draw(st.sampled_from([place for place in places if len(place) == depth]))
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "edit", "remove", "add"])):
            case "replace":
                parent[place[-1]] = draw(VALUES)
            case "edit" if isinstance(parent[place[-1]], str) and parent[place[-1]]:
                text = parent[place[-1]]
                at = draw(st.integers(0, len(text) - 1))
                parent[place[-1]] = text[:at] + draw(st.sampled_from("0123456789abcdefXz-. ,")) + text[at + 1 :]
            case "remove":
                del parent[place[-1]]
            case _ if isinstance(parent, dict):
                parent[draw(st.text(max_size=8))] = draw(VALUES)
    return changed


@pytest.mark.parametrize("name", ["calm", "fall"])
@settings(brief, max_examples=max(1, EXAMPLES // 4))
@given(data=st.data())
def test_mutated_bundles(name: str, stages: Stages, trust: TrustFile, group: Group, data: st.DataObject) -> None:
    bundle = data.draw(mutated(stages.bundles[name]))
    if bundle == stages.bundles[name]:
        verify_attestation(bundle, trust, group)
        return
    with pytest.raises(AttestationInvalid):
        verify_attestation(bundle, trust, group)


@brief
@given(value=VALUES)
def test_random_json_is_no_bundle(trust: TrustFile, group: Group, value: Any) -> None:
    with pytest.raises(AttestationInvalid) as caught:
        verify_attestation(value, trust, group)
    assert caught.value.step == "format"


@brief
@given(data=st.data())
def test_mutated_documents_are_refused_or_unchanged_in_meaning(stages: Stages, data: st.DataObject) -> None:
    """Whatever is accepted is canonical: written out again it is what was read."""
    parts = stages.bundles["fall"]["body"]
    names = ["tick", "enrolment", "submission", "run", "answer", "settlement"]
    document = data.draw(mutated(parts[data.draw(st.sampled_from(names))]))
    for body in BODIES:
        try:
            signed, typed = parse_signed(document, body)
        except (ServiceError, DocumentsError, MarginError):
            continue
        assert signed.to_json() == document
        assert typed.canonical() == signed.body
        assert body.parse(json.loads(json.dumps(typed.canonical()))) == typed


@brief
@given(data=st.data())
def test_a_signature_holds_for_one_document(stages: Stages, data: st.DataObject) -> None:
    original = stages.bundles["fall"]["body"]["answer"]
    document = data.draw(mutated(original))
    try:
        signed = SignedDocument.parse(document)
        signed.verify(frozenset({original["signer"]}))
    except (ServiceError, DocumentsError, MarginError):
        return
    assert document == original


@brief
@given(data=st.data())
def test_mutated_trust_files(stages: Stages, data: st.DataObject) -> None:
    document = data.draw(mutated(stages.trust))
    try:
        trust = TrustFile.parse(document)
    except (DocumentsError, MarginError):
        return
    assert trust.canonical() == document


@brief
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_bytes_that_are_no_json_are_named(data: bytes) -> None:
    try:
        value = parse_json(data, "body")
    except (ServiceError, DocumentsError, MarginError):
        return
    assert json.loads(json.dumps(value)) == value


@brief
@given(value=VALUES)
def test_any_body_that_can_be_signed_verifies(value: Any) -> None:
    identity = Identity.generate()
    try:
        signed = identity.sign("tick", {"value": value})
    except (ServiceError, DocumentsError, MarginError):
        return
    signed.verify(frozenset({identity.public_key}))
    assert SignedDocument.parse(signed.to_json()) == signed
