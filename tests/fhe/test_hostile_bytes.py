"""Bytes from outside: each is refused with a named error, and the worker goes on."""

import hashlib
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atomic_margin.circuits.clear_inputs import checked_clear_inputs
from atomic_margin.circuits.errors import ClearInputError
from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import SMALL, STANDARD, Profile
from atomic_margin.fhe import worker
from atomic_margin.fhe.errors import (
    DecryptionOutOfRange,
    EvaluationFailed,
    FheError,
    KeyStoreError,
    MalformedCiphertext,
    MalformedKeys,
)
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.known_answer import known_matrix
from atomic_margin.fhe.lwe import find_payload
from atomic_margin.fhe.messages import message_from_bytes, words_from_bytes
from atomic_margin.fhe.worker import KeyFile

pytestmark = pytest.mark.fhe


def zeros(profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((profile.rows, profile.entries), dtype=np.int64), np.zeros(profile.rows, dtype=np.int64)


def stored(data: bytes, path: Path, like: KeyFile) -> KeyFile:
    path.write_bytes(data)
    return replace(like, path=path, sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("damage", ["empty", "truncated", "one more", "random", "zero"])
def test_bytes_that_are_no_evaluation_keys(
    evaluator: Evaluator, key_file: KeyFile, tmp_path: Path, damage: str
) -> None:
    good = key_file.path.read_bytes()
    bad = {
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "one more": good + b"\0",
        "random": np.random.default_rng(1).bytes(len(good)),
        "zero": bytes(len(good)),
    }[damage]
    with pytest.raises(MalformedKeys):
        evaluator.check_keys(stored(bad, tmp_path / "bad.keys", key_file), ((b"", 0),))


def test_keys_of_another_profile_are_refused_by_name(evaluator: Evaluator, key_file: KeyFile, tmp_path: Path) -> None:
    other = bytes(layout_of(STANDARD).evaluation_key_bytes)
    with pytest.raises(MalformedKeys, match="profile 'tiny'"):
        evaluator.check_keys(stored(other, tmp_path / "other.keys", key_file), ((b"", 0),))


def test_keys_that_changed_on_disk_are_refused(evaluator: Evaluator, key_file: KeyFile, tmp_path: Path) -> None:
    changed = bytearray(key_file.path.read_bytes())
    changed[1000] ^= 1
    bad = stored(bytes(changed), tmp_path / "changed.keys", key_file)
    with pytest.raises(MalformedKeys, match="no longer match"):
        evaluator.check_keys(replace(bad, sha256="0" * 64), ((b"", 0),))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of this process, and of those it starts, go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def code_in(temporary: Path) -> list[str]:
    """The folders of workers in which there is compiled code."""
    return [folder.name for folder in temporary.iterdir() if list(folder.rglob("sharedlib.so"))]


def test_a_worker_that_dies_is_replaced_and_leaves_no_files(profile: Profile, temporary: Path) -> None:
    with Evaluator(profile) as fragile:
        fragile.start()
        (first,) = code_in(temporary)
        with pytest.raises(EvaluationFailed, match="died and is replaced"):
            fragile._call(os._exit, 3)
        assert list(temporary.iterdir()) == []
        fragile.start()
        assert code_in(temporary) not in ([], [first])
    assert list(temporary.iterdir()) == []


def test_a_worker_that_hangs_is_replaced_and_leaves_no_files(profile: Profile, temporary: Path) -> None:
    with Evaluator(profile, seconds=20) as slow:
        slow.start()
        slow._seconds = 0.5
        with pytest.raises(EvaluationFailed, match="longer than"):
            slow._call(time.sleep, 60)
        assert list(temporary.iterdir()) == []
        slow._seconds = 60
        slow.start()
    assert list(temporary.iterdir()) == []


def test_a_worker_that_was_not_initialised_refuses(key_file: KeyFile) -> None:
    with pytest.raises(EvaluationFailed):
        worker.check_keys(key_file, ())


@pytest.mark.parametrize("length", [0, 1, 8, 262271, 262273, 4196352])
def test_a_ciphertext_of_another_length_is_refused(
    evaluator: Evaluator, key_file: KeyFile, profile: Profile, length: int
) -> None:
    with pytest.raises(MalformedCiphertext, match="expected 262272 bytes"):
        evaluator.evaluate(key_file, bytes(length), *zeros(profile), ("surplus",))


def test_random_words_evaluate_without_harm(evaluator: Evaluator, key_file: KeyFile, profile: Profile) -> None:
    size = layout_of(profile).messages["input"].size
    output = evaluator.evaluate(key_file, np.random.default_rng(2).bytes(size), *zeros(profile), ("surplus",)).outputs
    assert set(output) == {"surplus"}


def test_wide_clear_inputs_never_reach_the_library(
    evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile
) -> None:
    A, c = zeros(keys.profile)
    c[0] = 1 << (keys.profile.bits - 1)
    ciphertext = keys.encrypt(np.zeros(keys.profile.entries, dtype=np.int64))
    with pytest.raises(ClearInputError):
        evaluator.evaluate(key_file, ciphertext, A, c, ("surplus",))


def test_a_message_with_a_changed_frame_is_not_found_or_not_ours(keys: InstitutionKeys, profile: Profile) -> None:
    """Each byte of the frame before the words, set to a few values: a named error or bounds inside the message."""
    layout = layout_of(profile).messages["input"]
    message = message_from_bytes(keys.known_answer_input(), layout)
    refused = 0
    for at in range(len(layout.prefix)):
        for value in (0, 1, 0x7F, 0xFF):
            changed = message[:at] + bytes([value]) + message[at + 1 :]
            try:
                payload = find_payload(changed)
            except MalformedCiphertext:
                refused += 1
            else:
                assert 0 <= payload.start <= payload.stop <= len(changed)
    assert refused > len(layout.prefix) // 2
    for length in (0, 1, 15, 16, 63, 64):
        with pytest.raises(MalformedCiphertext):
            find_payload(message[:length])


def test_a_flag_with_a_large_error_is_withheld(keys: InstitutionKeys, profile: Profile) -> None:
    layout = layout_of(profile).messages["breach"]
    words = np.zeros(layout.shape, dtype="<u8")
    for body, fine in [
        (1 << 62, True),
        ((1 << 62) + (1 << 59), True),
        ((1 << 62) + (1 << 60), False),
        (1 << 63, False),
    ]:
        words[0, -1] = body
        if fine:
            assert keys.decrypt("breach", words.tobytes()).values.tolist() == [1]
        else:
            with pytest.raises(DecryptionOutOfRange):
                keys.decrypt("breach", words.tobytes())
    with pytest.raises(MalformedCiphertext):
        keys.decrypt("breach", words.tobytes()[:-1])
    assert words_from_bytes(words.tobytes(), layout).shape == layout.shape


def test_key_files(keys: InstitutionKeys, profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "fhe.keys"
    keys.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = InstitutionKeys.load(profile, path)
    assert np.array_equal(again.decrypt("input", keys.known_answer_input()).values, np.arange(profile.entries) % 32)
    with pytest.raises(KeyStoreError, match="for profile"):
        InstitutionKeys.load(STANDARD, path)
    with pytest.raises(KeyStoreError, match="cannot read"):
        InstitutionKeys.load(profile, tmp_path / "absent")
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1000], whole[:-1] + bytes([whole[-1] ^ 1]), whole[:30]):
        path.write_bytes(damaged)
        with pytest.raises(KeyStoreError, match="damaged"):
            InstitutionKeys.load(profile, path)
    # A file of 0.1.0 has no hash of the keys; the library notices what is missing.
    head, _, words = whole.partition(b"\n\n")
    named = head.partition(b"\n")[0] + b"\n" + json.dumps({"profile_hash": profile.hash()}).encode()
    path.write_bytes(named + b"\n\n" + words)
    assert InstitutionKeys.load(profile, path).profile == profile
    path.write_bytes(named + b"\n\n" + words[:-8])
    with pytest.raises(KeyStoreError, match="damaged"):
        InstitutionKeys.load(profile, path)
    path.write_bytes(b"something else")
    with pytest.raises(KeyStoreError, match="not a key file"):
        InstitutionKeys.load(profile, path)


def test_known_answer_matrices_stay_inside_every_profile() -> None:
    for profile in (SMALL, STANDARD):
        for flag in (0, 1):
            A, c = known_matrix(profile, b"seed", flag)
            checked_clear_inputs(profile, A, c, rows=2)
            assert A.any(axis=1).all()
    assert issubclass(MalformedKeys, FheError)
