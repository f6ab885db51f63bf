"""Both backends read and write the same bytes and compute the same results."""

import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomic_margin.zk import load_group
from atomic_margin.zk.errors import BackendUnavailable, EncodingError, PointEncodingError, ScalarEncodingError
from atomic_margin.zk.groups import ORDER, Group

FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
GENERATOR = bytes.fromhex(
    "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
)
IDENTITY = bytes([0xC0]) + bytes(47)


def test_the_recursion_limit_is_nobodys_to_raise() -> None:
    """With a raised one deep JSON from outside ends a server, whatever parses it."""
    code = "import sys; was = sys.getrecursionlimit(); from atomic_margin.zk.groups import load_group; "
    code += "load_group('reference'); print(sys.getrecursionlimit() - was)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_outside_encodings(backend: Group, encodings: list[dict[str, Any]]) -> None:
    records = encodings
    assert len(records) == 128
    for record in records:
        data = bytes.fromhex(record["hex"])
        if record["kind"] == "g1":
            decode, encode = lambda d: backend.decode_point(d, allow_identity=True), backend.encode_point
        elif record["kind"] == "scalar_be":
            decode, encode = backend.decode_scalar, backend.encode_scalar
        else:
            continue  # scalars are big-endian here
        if record["valid"]:
            assert encode(decode(data)) == data, record["why"]
        else:
            with pytest.raises(EncodingError):
                decode(data)
        if record.get("identity"):
            with pytest.raises(PointEncodingError, match="identity"):
                backend.decode_point(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(bytes([GENERATOR[0] & 0x7F]) + GENERATOR[1:], id="compression flag cleared"),
        pytest.param(bytes([GENERATOR[0] | 0x40]) + GENERATOR[1:], id="infinity flag on a point"),
        pytest.param(bytes([0xE0]) + bytes(47), id="identity with sign flag"),
        pytest.param(bytes([0xC0]) + bytes(46) + b"\x01", id="identity with x = 1"),
        pytest.param(b"\xff" * 48, id="all ones"),
        pytest.param(bytes(48), id="all zeros"),
        pytest.param((FIELD | 1 << 383).to_bytes(48, "big"), id="x = p"),
        pytest.param(bytes([0x80]) + bytes(46) + b"\x01", id="x = 1, off the curve"),
        pytest.param(bytes([0x80]) + bytes(46) + b"\x04", id="x = 4, off the subgroup"),
        pytest.param(IDENTITY, id="identity"),
        pytest.param(GENERATOR[:-1], id="one byte short"),
        pytest.param(GENERATOR + b"\x00", id="one byte long"),
        pytest.param(b"", id="empty"),
    ],
)
def test_malformed_points_are_refused(backend: Group, data: bytes) -> None:
    with pytest.raises(PointEncodingError):
        backend.decode_point(data)


def test_a_point_with_x_plus_p_is_refused(backend: Group) -> None:
    # The smallest multiple of the generator whose x + p still fits into 381 bits.
    point = backend.decode_point(GENERATOR)
    found = point
    while True:
        data = backend.encode_point(found)
        x = int.from_bytes(data, "big") & ((1 << 381) - 1)
        if x + FIELD < 1 << 381:
            break
        found = found + point
    shifted = ((data[0] & 0xE0) << 376) | (x + FIELD)
    with pytest.raises(PointEncodingError):
        backend.decode_point(shifted.to_bytes(48, "big"))


@pytest.mark.parametrize("value", [ORDER, ORDER + 1, ORDER + 7, 2**255, 2**256 - 1])
def test_scalars_at_or_above_the_order_are_refused(backend: Group, value: int) -> None:
    with pytest.raises(ScalarEncodingError):
        backend.decode_scalar(value.to_bytes(32, "big"))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_scalars_of_the_wrong_length_are_refused(backend: Group, size: int) -> None:
    with pytest.raises(ScalarEncodingError):
        backend.decode_scalar(bytes(size))


@given(st.integers(), st.integers())
def test_scalars_are_integers_modulo_the_order(left: int, right: int) -> None:
    for name in ("arkworks", "reference"):
        group = load_group(name)
        a, b = group.scalar(left), group.scalar(right)
        assert group.integer(a + b) == (left + right) % ORDER
        assert group.integer(a - b) == (left - right) % ORDER
        assert group.integer(a * b) == left * right % ORDER
        assert group.integer(-a) == -left % ORDER
        assert group.encode_scalar(a) == (left % ORDER).to_bytes(32, "big")
        assert (a == b) == ((left - right) % ORDER == 0)
        if left % ORDER:
            assert group.integer(group.invert(a) * a) == 1


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.binary(max_size=8), st.one_of(st.sampled_from([0, 1, -1]), st.integers(0, ORDER - 1))), max_size=12
    )
)
def test_backends_agree(terms: list[tuple[bytes, int]]) -> None:
    results = []
    for name in ("arkworks", "reference"):
        group = load_group(name)
        points = [group.hash_to_point(message, b"test") for message, _ in terms]
        scalars = group.scalars(value for _, value in terms)
        result = group.msm(points, scalars)
        total = group.identity()
        for point, scalar in zip(points, scalars, strict=True):
            total = total + group.multiply(point, scalar)
        assert result == total
        assert result - total == group.identity()
        results.append([group.encode_point(point) for point in (*points, result, -result)])
    assert results[0] == results[1]


def test_long_multiplications_split_over_threads_agree_with_short_ones(group: Group) -> None:
    random.seed(7)
    base = group.hash_to_point(b"base", b"test")
    factors = [random.getrandbits(255) for _ in range(700)]
    scalars = [random.getrandbits(255) for _ in range(700)]
    points = [group.multiply(base, group.scalar(factor)) for factor in factors]
    expected = group.multiply(base, group.scalar(sum(f * s for f, s in zip(factors, scalars, strict=True))))
    assert group.msm(points, group.scalars(scalars)) == expected
    numbers = group.scalars(scalars)
    first, second = group.msm_pair((points[:300], numbers[:300]), (points[300:], numbers[300:]))
    assert first + second == expected
    with pytest.raises(ValueError, match="300 points but 299 scalars"):
        group.msm_pair((points[:300], numbers[:299]), (points[300:], numbers[300:]))


def test_sums_are_multiplications_by_one(backend: Group) -> None:
    points = [backend.hash_to_point(bytes([index]), b"test") for index in range(3)]
    assert backend.add_up([]) == backend.identity()
    assert backend.add_up(iter([*points, points[0]])) == backend.msm(points, backend.scalars([2, 1, 1]))


def test_two_multiplications_side_by_side_are_two_multiplications(backend: Group) -> None:
    point = backend.decode_point(GENERATOR)
    pair = backend.msm_pair(([point], [backend.scalar(3)]), ([point, point], backend.scalars([2, 5])))
    assert pair == (backend.multiply(point, backend.scalar(3)), backend.multiply(point, backend.scalar(7)))


def test_unequal_lengths_are_refused(backend: Group) -> None:
    point = backend.decode_point(GENERATOR)
    with pytest.raises(ValueError, match="2 points but 1 scalars"):
        backend.msm([point, point], [backend.scalar(1)])
    assert backend.msm([], []) == backend.identity()


def test_zero_has_no_inverse(backend: Group) -> None:
    with pytest.raises(ZeroDivisionError):
        backend.invert(backend.scalar(0))


def test_unknown_and_missing_backends_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendUnavailable, match="'curve25519'"):
        load_group("curve25519")
    load_group.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "atomic_margin.zk.groups.arkworks", None)
    with pytest.raises(BackendUnavailable, match="py-arkworks-bls12381"):
        load_group("arkworks")
    assert load_group("auto").name == "reference"
    load_group.cache_clear()


def test_hash_to_curve_works_without_native_support(monkeypatch: pytest.MonkeyPatch) -> None:
    from atomic_margin.zk.groups.arkworks import ArkworksGroup

    old, new = ArkworksGroup(), load_group("reference")
    monkeypatch.setattr(old, "_native_hash", False)
    expected = new.encode_point(new.hash_to_point(b"message", b"tag"))
    assert old.encode_point(old.hash_to_point(b"message", b"tag")) == expected
