"""What 32 bytes are an Ed25519 public key that may be trusted, against the curve's own arithmetic."""

import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from atomic_margin.documents.ed25519 import fault_of
from atomic_margin.documents.errors import DocumentError, MalformedDocument, NotAPublicKey
from atomic_margin.documents.fields import PublicKey
from atomic_margin.documents.strict import Part

from .. import edwards

SMALL = sorted(edwards.small_order())
SPELT = {spelling: point for point in SMALL for spelling in edwards.spellings(point)}
CANONICAL = {edwards.spell(point) for point in SMALL}


class Trusting(Part):
    key: PublicKey


def refused(key: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        Trusting.parse({"key": key})
    assert caught.value.field == "key"
    return caught.value


def test_the_points_of_small_order_are_eight_and_have_fourteen_spellings() -> None:
    assert sorted(map(edwards.order, SMALL)) == [1, 2, 4, 4, 8, 8, 8, 8]
    assert (len(SPELT), len(CANONICAL)) == (14, 8)
    assert set(SPELT) > CANONICAL


@pytest.mark.parametrize("key", sorted(SPELT))
def test_no_spelling_of_a_point_of_small_order_is_a_key(key: str) -> None:
    error = refused(key)
    assert isinstance(error, NotAPublicKey)
    assert ("of small order, under which anybody can sign" in error.problem) == (key in CANONICAL)
    assert ("not the one spelling of its point" in error.problem) == (key not in CANONICAL)
    assert "have its owner make a new key" in error.problem


def holds(public: Ed25519PublicKey, signature: bytes) -> bool:
    try:
        public.verify(signature, b"any message")
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("key", sorted(SPELT))
def test_a_library_lets_anybody_sign_under_them(key: str) -> None:
    """Why they are refused: made without a private key, one signature in eight holds, or more."""
    public, multiple = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)), edwards.NEUTRAL
    for scalar in range(1, 100):
        # R is S times the generator, and has nothing of the key: right if its order divides the challenge.
        multiple = edwards.add(multiple, edwards.base())
        if holds(public, bytes.fromhex(edwards.spell(multiple)) + scalar.to_bytes(32, "little")):
            return
    pytest.fail("no forgery held")


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("low", range(19))
def test_a_y_that_is_not_below_p_is_refused(low: int, sign: int) -> None:
    key = edwards.spell((sign, low), over=1)
    assert "not the one spelling" in str(refused(key))


@given(st.binary(min_size=32, max_size=32))
def test_other_bytes_are_a_key_when_they_are_a_point(data: bytes) -> None:
    word = int.from_bytes(data, "little")
    y, key = word % 2**255, data.hex()
    if y < edwards.P and edwards.points(y) and key not in SPELT:
        assert Trusting.parse({"key": key}).key == key
    else:
        assert isinstance(refused(key), NotAPublicKey)


@given(st.integers(19, edwards.P - 1))
def test_no_point_is_told_from_another_fault(y: int) -> None:
    fault = fault_of(edwards.spell((0, y)))
    assert (fault is not None and "no point of the curve" in fault) == (not edwards.points(y))


@given(st.binary(min_size=32, max_size=32))
def test_every_key_that_is_made_is_one(seed: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()
    assert Trusting.parse({"key": key}).key == key


@pytest.mark.parametrize("value", ["", "9a" * 31, "9A" * 32, "9a" * 33, "9a" * 31 + "9g", 7, None, ["9a" * 32]])
def test_what_is_no_32_bytes_of_hex_is_refused_as_before(value: object) -> None:
    with pytest.raises(MalformedDocument, match="64 lower-case hex digits"):
        Trusting.parse({"key": value})


def test_a_key_that_was_seen_costs_nothing() -> None:
    keys = [Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex() for _ in range(3)]
    for key in keys:
        Trusting.parse({"key": key})
    before = fault_of.cache_info()
    start = time.process_time()
    for _ in range(3000):
        for key in keys:
            Trusting.parse({"key": key})
    seconds = time.process_time() - start
    after = fault_of.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 9000)
    assert after.maxsize is not None
    assert seconds < 1
