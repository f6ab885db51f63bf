"""Random and structured bytes against the parsers of LWE words, library messages and evaluation keys.

Brief by default; ``ATOMIC_MARGIN_FUZZ=100000`` runs so many examples of each.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import PROFILES, SMALL, STANDARD, TINY
from atomic_margin.fhe.errors import MalformedCiphertext, MalformedKeys
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.lwe import find_payload, words_of
from atomic_margin.fhe.masks import Ciphertext, bodies_from_bytes, expand_masks
from atomic_margin.fhe.messages import bytes_from_message, message_from_bytes, words_from_bytes
from atomic_margin.fhe.worker import KeyFile

EXAMPLES = int(os.environ.get("ATOMIC_MARGIN_FUZZ", "60"))
brief = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

# The same parser with other numbers: few examples for profiles that only benchmarks use, whose words are up to 16 MB.
briefest = settings(brief, max_examples=max(3, EXAMPLES // 20))

MESSAGES = ("input", "surplus", "breach", "known_answer")
SERVED = sorted(name for name, profile in PROFILES.items() if profile in (TINY, SMALL, STANDARD))
CORNERS = ("1024x33x20", "16x33x24")
OTHERS = [
    *CORNERS,
    *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(set(PROFILES) - set(SERVED) - set(CORNERS))),
]
FLAG = layout_of(TINY).messages["breach"]
MESSAGE = message_from_bytes(bytes(range(256)) * (FLAG.size // 256) + bytes(FLAG.size % 256), FLAG)


@brief
@given(data=st.binary(max_size=600))
def test_random_bytes_are_no_message(data: bytes) -> None:
    try:
        payload = find_payload(data)
    except MalformedCiphertext:
        return
    # What is found lies inside the bytes, in whole words.
    assert 0 <= payload.start <= payload.stop <= len(data)
    assert len(words_of(data)) * 8 == payload.stop - payload.start


@brief
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**32, 2**63])), max_size=4
    ),
    cut=st.integers(0, len(MESSAGE)) | st.just(len(MESSAGE)),
)
def test_messages_with_other_frames_are_refused_or_stay_inside(edits: list[tuple[int, int]], cut: int) -> None:
    """Pointers, sizes and counts of a real message, overwritten."""
    data = bytearray(MESSAGE)
    for word, value in edits:
        data[8 * word : 8 * word + 8] = value.to_bytes(8, "little")
    changed = bytes(data[:cut])
    try:
        payload = find_payload(changed)
    except MalformedCiphertext:
        with pytest.raises(MalformedCiphertext):
            bytes_from_message(changed, FLAG)
        return
    assert 0 <= payload.start <= payload.stop <= len(changed)
    try:
        words = bytes_from_message(changed, FLAG)
    except MalformedCiphertext:
        return
    # Only under the pinned frame do words come out, and they are the ones inside it.
    assert changed == FLAG.prefix + words + FLAG.suffix


@pytest.mark.long
@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("profile", SERVED)
@brief
@given(data=st.data())
def test_words_have_one_length_and_go_round(profile: str, name: str, data: st.DataObject) -> None:
    assert_one_length_and_round_trip(profile, name, data)


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("profile", OTHERS)
@briefest
@given(data=st.data())
def test_words_of_every_other_profile_have_one_length_and_go_round(
    profile: str, name: str, data: st.DataObject
) -> None:
    assert_one_length_and_round_trip(profile, name, data)


def assert_one_length_and_round_trip(profile: str, name: str, data: st.DataObject) -> None:
    layout = layout_of(PROFILES[profile]).messages[name]
    size = data.draw(st.integers(0, 64) | st.sampled_from([layout.size - 8, layout.size - 1, layout.size + 1]))
    with pytest.raises(MalformedCiphertext):
        words_from_bytes(bytes(size), layout)
    seed = data.draw(st.integers(0, 2**32 - 1))
    words = np.random.default_rng(seed).bytes(layout.size)
    assert words_from_bytes(words, layout).astype("<u8").tobytes() == words
    assert bytes_from_message(message_from_bytes(words, layout), layout) == words


@brief
@given(data=st.binary(max_size=200), count=st.integers(0, 30))
def test_bodies_have_one_length_and_go_round(data: bytes, count: int) -> None:
    try:
        bodies = bodies_from_bytes(data, count)
    except MalformedCiphertext:
        assert len(data) != 8 * count
        return
    assert bodies.astype("<u8").tobytes() == data
    whole = Ciphertext(expand_masks(b"seed", count, 3), bodies, count).to_bytes()
    assert len(whole) == 32 * count
    with pytest.raises(MalformedCiphertext):
        Ciphertext(expand_masks(b"seed", count + 1, 3), bodies, count)


@pytest.mark.slow
@pytest.mark.fhe
@settings(
    max_examples=max(1, EXAMPLES // 1000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    start=st.integers(0, 1 << 20),
    garbage=st.binary(min_size=1, max_size=64),
    length=st.sampled_from([-1, 0, 1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_evaluation_keys(
    evaluator: Evaluator, key_file: KeyFile, tmp_path: Path, start: int, garbage: bytes, length: int, seed: int
) -> None:
    """Another length is refused unread; of the right length, the worker reads it and goes on whatever it was."""
    size = key_file.path.stat().st_size
    noise = bytearray(np.random.default_rng(seed).bytes(size + length))
    noise[start : start + len(garbage)] = garbage
    path = tmp_path / "fuzzed.keys"
    path.write_bytes(noise)
    named = replace(key_file, path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(MalformedKeys):
        evaluator.check_keys(named, ((b"", 0),))
    with pytest.raises(MalformedKeys):
        evaluator.check_keys(replace(named, sha256="0" * 64), ((b"", 0),))
    assert evaluator.check_keys(key_file, ()) == ()
