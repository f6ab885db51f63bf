"""A custodian's shares travel in a box that it alone opens, in its own deal; everything else is refused by name."""

import dataclasses
import hashlib
import hmac
import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.service.custodian.boxes import open_box
from atomic_margin.service.errors import BoxDoesNotOpen, BoxMalformed, EncryptionKeyRefused, ShareBoxError
from atomic_margin.service.institution.share_boxes import seal_shares
from atomic_margin.service.protocol.share_boxes import (
    FORMAT,
    OVERHEAD_BYTES,
    SUITE,
    BoxAddress,
    box_bytes,
    fault_of_encryption_key,
    read_encryption_key,
    require_box_form,
)
from atomic_margin.zk.errors import OtherDeal, SharesInvalid, SharingEncodingError
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.sharing.check import check_shares
from atomic_margin.zk.sharing.messages import Shares
from atomic_margin.zk.sharing.statement import Custodian

from ..zk.shared import book, make

KEYS = tuple(X25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 6))
DEAL, STATEMENT = book().deal, book().statement
PRIME = 2**255 - 19


def address(index: int, **changes: Any) -> BoxAddress:
    one = BoxAddress("9a" * 32, "harbour", DEAL.hash, STATEMENT.custodians[index])
    return dataclasses.replace(one, **changes)


def sealed(index: int = 0) -> bytes:
    return seal_shares(book().shares[index], address(index), public(index))


def public(index: int) -> X25519PublicKey:
    return read_encryption_key(KEYS[index].public_key().public_bytes_raw().hex())


@pytest.mark.parametrize("index", range(5))
def test_each_custodian_opens_its_own_box_and_its_shares_fit_the_deal(index: int) -> None:
    shares = open_box(sealed(index), address(index), KEYS[index], STATEMENT)
    assert shares == book().shares[index]
    check_shares(DEAL, shares, STATEMENT.points[index])


def test_a_box_has_one_length() -> None:
    assert len(sealed()) == box_bytes(5) == len(book().shares[0].to_bytes()) + OVERHEAD_BYTES
    assert box_bytes(4096) == 35 + 64 * 4096 + 48
    box = sealed()
    assert require_box_form(box, 5) == box
    for wrong, said in (
        (b"", "403 bytes, got 0"),
        (box[:-1], "403 bytes, got 402"),
        (box + b"\x00", "403 bytes, got 404"),
        (box[1:], "403 bytes, got 402"),
        (box * 2, "403 bytes, got 806"),
        (bytearray(box), "a box is bytes, got bytearray"),
        (box.hex(), "a box is bytes, got str"),
        (None, "a box is bytes, got NoneType"),
    ):
        with pytest.raises(BoxMalformed, match=said):
            require_box_form(wrong, 5)
        with pytest.raises(BoxMalformed, match=said):
            open_box(wrong, address(0), KEYS[0], STATEMENT)  # type: ignore[arg-type]


def test_the_same_shares_are_other_bytes_each_time() -> None:
    first, second = sealed(), sealed()
    assert first[:32] != second[:32]
    assert not {first[i : i + 16] for i in range(0, 400, 16)} & {second[i : i + 16] for i in range(0, 400, 16)}
    assert open_box(first, address(0), KEYS[0], STATEMENT) == open_box(second, address(0), KEYS[0], STATEMENT)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"operator": "9b" * 32}, id="operator"),
        pytest.param({"institution": "anchor"}, id="institution"),
        pytest.param({"operator": "harbour", "institution": "9a" * 32}, id="operator and institution swapped"),
        pytest.param({"deal": bytes(32)}, id="deal"),
        pytest.param({"custodian": STATEMENT.custodians[1]}, id="custodian"),
        pytest.param({"custodian": Custodian(2, STATEMENT.custodians[0].identity)}, id="point"),
        pytest.param({"custodian": Custodian(1, STATEMENT.custodians[1].identity)}, id="identity"),
    ],
)
def test_a_box_is_for_one_address(changed: dict[str, Any]) -> None:
    with pytest.raises(BoxDoesNotOpen, match="fetch it again"):
        open_box(sealed(), address(0, **changed), KEYS[0], STATEMENT)


def test_a_box_is_for_one_key() -> None:
    for index in range(1, 5):
        with pytest.raises(BoxDoesNotOpen):
            open_box(sealed(), address(0), KEYS[index], STATEMENT)
        with pytest.raises(BoxDoesNotOpen):
            open_box(sealed(), address(index), KEYS[index], STATEMENT)


def test_boxes_that_change_places_do_not_open() -> None:
    # Even where two custodians have one key.
    box = seal_shares(book().shares[1], address(1), public(0))
    with pytest.raises(BoxDoesNotOpen):
        open_box(box, address(0), KEYS[0], STATEMENT)
    assert open_box(box, address(1), KEYS[0], STATEMENT) == book().shares[1]


def test_a_box_of_another_deal_of_the_same_book_does_not_open() -> None:
    other = make(3, (1, 2, 5, 9, 300))
    assert other.deal.hash != DEAL.hash
    box = seal_shares(other.shares[0], address(0, deal=other.deal.hash), public(0))
    with pytest.raises(BoxDoesNotOpen):
        open_box(box, address(0), KEYS[0], STATEMENT)
    opened = open_box(box, address(0, deal=other.deal.hash), KEYS[0], STATEMENT)
    with pytest.raises(OtherDeal):
        check_shares(DEAL, opened, 1)


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    box = sealed()
    for position in range(len(box)):
        changed = bytearray(box)
        changed[position] ^= 1 << position % 8
        with pytest.raises(BoxDoesNotOpen):
            open_box(bytes(changed), address(0), KEYS[0], STATEMENT)


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=500) | st.binary(min_size=403, max_size=403))
def test_bytes_from_anywhere_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(BoxMalformed if len(data) != 403 else BoxDoesNotOpen):
        open_box(data, address(0), KEYS[0], STATEMENT)


def test_keys_of_small_order_in_a_box_are_refused() -> None:
    for u in SMALL_ORDER:
        box = u.to_bytes(32, "little") + sealed()[32:]
        with pytest.raises(BoxDoesNotOpen):
            open_box(box, address(0), KEYS[0], STATEMENT)


def test_nobody_seals_the_shares_of_another() -> None:
    for shares, to in (
        (book().shares[1], address(0)),
        (book().shares[0], address(0, deal=bytes(32))),
        (make(3, (1, 2, 5, 9, 300)).shares[0], address(0)),
    ):
        with pytest.raises(OtherDeal, match="seal each custodian's own"):
            seal_shares(shares, to, public(0))


def stuffed(content: bytes) -> bytes:
    """What an institution that does not keep to the protocol seals."""
    return SUITE.encrypt(content, public(0), info=address(0).info())


def test_what_is_no_share_of_this_custodian_is_found_in_the_box() -> None:
    own = book().shares[0].to_bytes()
    assert open_box(stuffed(own), address(0), KEYS[0], STATEMENT) == book().shares[0]
    for content in (book().shares[1].to_bytes(), own[:1] + bytes(32) + own[33:]):
        with pytest.raises(OtherDeal, match="complain"):
            open_box(stuffed(content), address(0), KEYS[0], STATEMENT)
    for content, said in (
        (b"\x02" + own[1:], "version 2"),
        (own[:33] + bytes(2) + own[35:], "no custodian"),
        (own[:35] + ORDER.to_bytes(32, "big") + own[67:], "below the group order"),
    ):
        with pytest.raises(SharingEncodingError, match=said):
            open_box(stuffed(content), address(0), KEYS[0], STATEMENT)


def test_who_sealed_a_box_is_not_known_and_does_not_matter() -> None:
    # Anybody who knows the key makes a box that opens; but its shares fit no deal unless they are the right ones.
    forged = dataclasses.replace(book().shares[0], values=(1, 2, 3, 4, 5))
    opened = open_box(seal_shares(forged, address(0), public(0)), address(0), KEYS[0], STATEMENT)
    with pytest.raises(SharesInvalid):
        check_shares(DEAL, opened, 1)


def test_nothing_of_the_shares_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    box = sealed()
    shares: Shares = open_box(box, address(0), KEYS[0], STATEMENT)
    plain = shares.to_bytes()
    with pytest.raises(ShareBoxError) as caught:
        open_box(box[:-1] + bytes([box[-1] ^ 1]), address(0), KEYS[0], STATEMENT)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    shown = f"{shares!r} {address(0)!r} {caught.value!r} {caplog.text}"
    for number in (*shares.values, *shares.blindings):
        assert str(number) not in shown
        assert number.to_bytes(32, "big") not in box
        assert number.to_bytes(32, "big").hex() not in shown
    assert plain[35:67] not in box


def extract(salt: bytes, data: bytes) -> bytes:
    return hmac.new(salt, data, hashlib.sha256).digest()


def expand(key: bytes, info: bytes, length: int) -> bytes:
    # One block is enough for all that is taken here.
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()[:length]


def test_a_box_is_what_rfc_9180_says() -> None:
    """Opened by the steps of the RFC (4.1, 5.1, 5.2), written down once more, with nothing of the library's HPKE."""
    box, key = sealed(), KEYS[0]
    enc, ciphertext = box[:32], box[32:]

    def labelled_extract(suite: bytes, salt: bytes, label: bytes, data: bytes) -> bytes:
        return extract(salt, b"HPKE-v1" + suite + label + data)

    def labelled_expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
        return expand(secret, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)

    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x03"
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    eae = labelled_extract(kem, b"", b"eae_prk", shared)
    secret = labelled_expand(kem, eae, b"shared_secret", enc + key.public_key().public_bytes_raw(), 32)
    info = canonical_bytes(
        {
            "format": "atomic-margin/share-box/1",
            "operator": "9a" * 32,
            "institution": "harbour",
            "deal": DEAL.hash.hex(),
            "point": "1",
            "identity": STATEMENT.custodians[0].identity.hex(),
        }
    )
    assert info == address(0).info()
    assert FORMAT.encode() in info
    context = b"\x00" + labelled_extract(suite, b"", b"psk_id_hash", b"")
    context += labelled_extract(suite, b"", b"info_hash", info)
    secret = labelled_extract(suite, secret, b"secret", b"")
    aead = ChaCha20Poly1305(labelled_expand(suite, secret, b"key", context, 32))
    opened = aead.decrypt(labelled_expand(suite, secret, b"base_nonce", context, 12), ciphertext, b"")
    assert opened == book().shares[0].to_bytes()


# Every u of a point whose order divides 8, on the curve or on its twist.
SMALL_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    PRIME - 1,
)


@pytest.mark.parametrize("u", SMALL_ORDER)
def test_keys_of_small_order_are_refused(u: int) -> None:
    with pytest.raises(EncryptionKeyRefused, match="small order"):
        read_encryption_key(u.to_bytes(32, "little").hex())


@pytest.mark.parametrize("u", [PRIME, PRIME + 1, PRIME + 9, 2**255 - 1, 2**255 + 9, 2**256 - 1])
def test_a_key_has_one_spelling(u: int) -> None:
    with pytest.raises(EncryptionKeyRefused, match="not the one spelling"):
        read_encryption_key(u.to_bytes(32, "little").hex())


@pytest.mark.parametrize(
    "text", ["", "09", "09" * 31, "09" * 33, "0A" * 32, "0g" * 32, " " + "09" * 31 + "0", "09" * 32 + "\n"]
)
def test_a_key_is_so_many_digits(text: str) -> None:
    with pytest.raises(EncryptionKeyRefused, match="64 lower-case hex digits"):
        read_encryption_key(text)


def test_good_keys_are_taken() -> None:
    for key in KEYS:
        text = key.public_key().public_bytes_raw().hex()
        assert fault_of_encryption_key(text) is None
        assert read_encryption_key(text).public_bytes_raw().hex() == text
