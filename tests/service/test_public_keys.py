"""No document, trust file or admission takes a key under which anybody can sign; and a signature has one spelling."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.errors import NotAPublicKey
from atomic_margin.service.errors import SignatureInvalid
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import CollateralInstruction
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import PriceSet, PriceTick
from atomic_margin.service.protocol.trust import TrustFile

from .. import edwards
from .bodies import BODIES, DOCUMENTS, KEY, PRICE
from .world import World

NEUTRAL = "01" + "00" * 31
# Beside it: another spelling of it, and no point at all.
NO_KEYS = (NEUTRAL, "ee" + "ff" * 30 + "7f", "9f" * 32)
INSTRUCTION = BODIES[CollateralInstruction]


def places() -> Iterator[Any]:
    """Every place of a key: a model, the path that an error names, and what makes its fields with another key."""

    def field(kind: Any, name: str, path: str, value: Callable[[str], Any]) -> Any:
        body = dict(DOCUMENTS).get(kind, {})
        return pytest.param(kind, path, lambda key: {**body, name: value(key)}, id=f"{kind.__name__}-{path}")

    for kind, body in DOCUMENTS:
        for name in body:
            if body[name] == KEY:
                yield field(kind, name, name, str)
    yield field(TrustFile, "institutions", "institutions.fund", lambda key: {"fund": key})
    yield field(PriceRules, "sources", "sources[0]", lambda key: [key])
    yield field(PriceTick, "dropped", "dropped[0].source", lambda key: [{"source": key, "reason": "stale"}])
    yield field(PriceTick, "prices", "prices[0].signer", lambda key: [{**PRICE, "signer": key}])
    yield pytest.param(SignedDocument, "signer", lambda key: {**PRICE, "signer": key}, id="SignedDocument-signer")


@pytest.mark.parametrize(("kind", "path", "fields"), list(places()))
def test_a_key_that_is_none_is_refused_where_it_enters(kind: Any, path: str, fields: Callable[[str], Any]) -> None:
    kind.parse(fields(KEY))
    for wrong in NO_KEYS:
        with pytest.raises(NotAPublicKey) as caught:
            kind.parse(fields(wrong))
        assert caught.value.field == path


def test_every_field_that_names_a_party_is_tried() -> None:
    """One that took any 32 bytes would be a way in."""
    tried = {tuple(parameters.values[:2]) for parameters in places()}
    wanted = {
        (kind, name)
        for kind in (*dict(DOCUMENTS), SignedDocument)
        for name in kind.model_fields
        if name in ("operator", "signer", "source", "identity")
    }
    assert wanted
    assert wanted <= tried


def test_prices_of_no_key_are_refused() -> None:
    prices = {"format": "atomic-margin/prices/2", "sequence": "7", "prices": [PRICE, {**PRICE, "signer": NEUTRAL}]}
    with pytest.raises(NotAPublicKey, match="anybody can sign") as caught:
        PriceSet.parse(prices)
    assert caught.value.field == "prices[1].signer"


def test_what_anybody_signed_under_the_neutral_point_is_no_document() -> None:
    """The library takes R = S times the generator for a signature of it, on every message."""
    signature = edwards.spell(edwards.base()) + (1).to_bytes(32, "little").hex()
    message = b"atomic-margin/v1/signature/collateral-instruction\n" + canonical_bytes(INSTRUCTION)
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(NEUTRAL)).verify(bytes.fromhex(signature), message)
    shown = {"type": "collateral-instruction", "body": INSTRUCTION, "signer": NEUTRAL, "signature": signature}
    with pytest.raises(NotAPublicKey, match="anybody can sign") as caught:
        parse_signed(shown, CollateralInstruction)
    assert caught.value.field == "signer"


def test_no_institution_is_admitted_under_such_a_key(world_at: Callable[[str], World]) -> None:
    world = world_at("enrolled")
    good = {"institution": "new", "name": "New Fund", "identity": KEY}
    for wrong in NO_KEYS:
        response = world.client.post("/v1/admissions", json={**good, "identity": wrong}, headers=world.admin)
        assert (response.status_code, response.json()["field"]) == (422, "identity")
        assert "its owner" in response.json()["detail"]
    assert world.client.post("/v1/admissions", json=good, headers=world.admin).status_code == 201


# Signatures. What the library does is pinned here, for documents are compared and hashed with their signatures.

SEED = bytes(range(32))
SIGNER = Identity(Ed25519PrivateKey.from_private_bytes(SEED))


def signed_with(point: str) -> SignedDocument:
    """An instruction signed with an R of our spelling that stands for the neutral point, as only the owner can."""
    message = b"atomic-margin/v1/signature/collateral-instruction\n" + canonical_bytes(INSTRUCTION)
    hashed = hashlib.sha512(bytes.fromhex(point + SIGNER.public_key) + message).digest()
    scalar = int.from_bytes(hashed, "little") * edwards.scalar_of(SEED) % edwards.L
    return SignedDocument.parse(
        {
            "type": "collateral-instruction",
            "body": INSTRUCTION,
            "signer": SIGNER.public_key,
            "signature": point + scalar.to_bytes(32, "little").hex(),
        }
    )


def test_a_scalar_has_one_spelling() -> None:
    good = SIGNER.sign("collateral-instruction", INSTRUCTION)
    good.verify(frozenset({SIGNER.public_key}))
    scalar = int.from_bytes(bytes.fromhex(good.signature[64:]), "little")
    for times in range(1, 16):
        if scalar + times * edwards.L < 1 << 256:
            other = good.signature[:64] + (scalar + times * edwards.L).to_bytes(32, "little").hex()
            with pytest.raises(SignatureInvalid, match="does not match"):
                SignedDocument.parse({**good.to_json(), "signature": other}).verify(frozenset({SIGNER.public_key}))


def test_the_point_of_a_signature_has_one_spelling() -> None:
    signed_with(NEUTRAL).verify(frozenset({SIGNER.public_key}))
    others = edwards.spellings(edwards.NEUTRAL) - {NEUTRAL}
    assert len(others) == 3
    for point in others:
        with pytest.raises(SignatureInvalid, match="does not match"):
            signed_with(point).verify(frozenset({SIGNER.public_key}))
