"""Signatures: what they cover, who may make them, and the key files behind them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.errors import DocumentError, DocumentsError
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import ConfigurationError, RequestError, SignatureInvalid
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.protocol.signing import Identity, SignedDocument

IDENTITY, STRANGER = Identity.generate(), Identity.generate()
BODY = {"sequence": "1", "deep": {"list": ["a", {"b": "c"}]}}


def signed() -> SignedDocument:
    return IDENTITY.sign("answer", BODY)


def trusted(*identities: Identity) -> frozenset[str]:
    return frozenset(identity.public_key for identity in identities)


def test_a_signature_holds_for_what_was_signed() -> None:
    signed().verify(trusted(IDENTITY))
    SignedDocument.parse(parse_json(b'{"x": %s}' % signed().model_dump_json().encode())["x"]).verify(trusted(IDENTITY))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "settlement"),
        ("body", {**BODY, "sequence": "2"}),
        ("body", {**BODY, "more": "1"}),
        ("body", {"sequence": "1"}),
        ("body", {}),
        ("signer", STRANGER.public_key),
        ("signature", "00" * 64),
        ("signature", STRANGER.sign("answer", BODY).signature),
        ("signature", IDENTITY.sign("settlement", BODY).signature),
    ],
)
def test_a_changed_document_is_refused(field: str, value: Any) -> None:
    changed = SignedDocument.parse({**signed().to_json(), field: value})
    with pytest.raises(SignatureInvalid, match="does not match the document") as caught:
        changed.verify(trusted(IDENTITY, STRANGER))
    assert caught.value.field == "signature"


def test_a_good_signature_of_a_key_that_is_not_trusted_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="not trusted") as caught:
        signed().verify(trusted(STRANGER))
    assert caught.value.field == "signer"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "unknown"),
        ("type", None),
        ("body", []),
        ("body", "text"),
        ("body", None),
        ("signer", signed().signer.upper()),
        ("signer", signed().signer[:-2]),
        ("signer", " " + signed().signer[1:]),
        ("signer", "00" * 32),
        ("signer", "ff" * 32),
        ("signature", "AB" * 64),
        ("signature", "ab" * 63),
        ("signature", "ab" * 65),
        ("signature", "zz" * 64),
        ("signature", 7),
        ("signature", "ab" * 64 + "\n"),
    ],
)
def test_a_field_of_the_wrong_form_is_named(field: str, value: Any) -> None:
    with pytest.raises(DocumentError) as caught:
        SignedDocument.parse({**signed().to_json(), field: value})
    assert caught.value.field == field


def test_missing_and_unknown_fields_are_named() -> None:
    for field in ("type", "body", "signer", "signature"):
        value = signed().to_json()
        del value[field]
        with pytest.raises(DocumentError, match="missing") as caught:
            SignedDocument.parse(value)
        assert caught.value.field == field
    with pytest.raises(DocumentError, match="no such field") as caught:
        SignedDocument.parse({**signed().to_json(), "comment": "hello"})
    assert caught.value.field == "comment"


@pytest.mark.parametrize("value", [None, [], "text", True])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(DocumentError) as caught:
        SignedDocument.parse(value)
    assert caught.value.field == "$"


JSON = st.recursive(
    st.none() | st.booleans() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_every_json_body_without_numbers_goes_round(body: dict[str, Any]) -> None:
    document = IDENTITY.sign("run", body)
    again = SignedDocument.parse(document.to_json())
    again.verify(trusted(IDENTITY))
    assert again == document
    assert again.body_hash() == document.body_hash()
    with pytest.raises(SignatureInvalid):
        SignedDocument.parse({**document.to_json(), "body": {**body, "added": "1"}}).verify(trusted(IDENTITY))


@pytest.mark.parametrize("body", [{"sequence": 1}, {"price": 0.5}, {"list": [1]}])
def test_numbers_are_not_signed(body: dict[str, Any]) -> None:
    with pytest.raises(DocumentsError, match="decimal strings"):
        IDENTITY.sign("run", body)


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\udfff": "a"}', '{"a": [{"b": "x\\udc00y"}]}'])
def test_lone_surrogates_end_in_a_named_error(text: str) -> None:
    """JSON can spell half of a surrogate pair, which has no UTF-8 and therefore no canonical form."""
    with pytest.raises((DocumentsError, MarginError, RequestError)):
        IDENTITY.sign("answer", parse_json(text.encode()))


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\udfff": "a"}', '{"a": [{"b": "x\\udc00y"}]}'])
def test_lone_surrogates_are_refused_when_hashing_and_verifying(text: str) -> None:
    def received() -> SignedDocument:
        return SignedDocument.parse({**signed().to_json(), "body": parse_json(text.encode())})

    with pytest.raises((DocumentsError, MarginError, RequestError)):
        received().verify(trusted(IDENTITY))
    with pytest.raises((DocumentsError, MarginError, RequestError)):
        received().body_hash()


def test_a_key_file_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "identity.key"
    made = Identity.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert len(path.read_bytes()) == 32
    again = Identity.load_or_create(path)
    assert again.public_key == made.public_key
    assert again.sign("answer", BODY) == made.sign("answer", BODY)


@pytest.mark.parametrize("data", [b"", b"\0" * 31, b"\0" * 33, b"-----BEGIN PRIVATE KEY-----"])
def test_a_damaged_key_file_is_reported_and_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"identity\.key .* restore it from your backup"):
        Identity.load_or_create(path)
    assert path.read_bytes() == data
