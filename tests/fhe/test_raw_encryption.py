"""Encryption on raw words under expanded masks, held against the library: its decryption, its noise, its evaluation."""

import numpy as np
import pytest

from atomic_margin.circuits import reference
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.layout import layout_of
from atomic_margin.fhe.errors import MalformedCiphertext
from atomic_margin.fhe.evaluator import Evaluator
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.fhe.lwe import phases
from atomic_margin.fhe.masks import bodies_from_bytes, expand_masks, mask_seed
from atomic_margin.fhe.messages import message_from_bytes, words_from_bytes
from atomic_margin.fhe.worker import KeyFile

from ..circuits.cases import cases

pytestmark = [pytest.mark.fhe, pytest.mark.long]


def masks_of(keys: InstitutionKeys, number: int) -> np.ndarray:
    layout = layout_of(keys.profile).messages["input"]
    return expand_masks(
        mask_seed("00" * 32, "22" * 32, "9a" * 32, "north", "11" * 32, number), layout.count, layout.dimension
    )


def test_phases_are_the_entries_and_the_errors(keys: InstitutionKeys) -> None:
    rng = np.random.default_rng(7)
    layout = layout_of(keys.profile).messages["input"]
    for number in range(5):
        z = rng.integers(0, 32, keys.profile.entries)
        encryption = keys.encrypt_under(masks_of(keys, number), z)
        phase = phases(words_from_bytes(encryption.to_bytes(), layout), keys.secret_bits("input"))
        errors = (phase - (z.astype(np.uint64) << np.uint64(63 - layout.width))).view(np.int64)
        assert np.abs(errors).max() < 1 << 18
        decryption = keys.decrypt("input", encryption.to_bytes())
        assert np.array_equal(decryption.values, z)
        assert decryption.largest_error == np.abs(errors).max()


def test_the_server_evaluates_them_like_any_other(
    evaluator: Evaluator, keys: InstitutionKeys, key_file: KeyFile
) -> None:
    # The second has a row just below zero.
    for number, (z, A, c) in enumerate(cases(keys.profile, 2, seed=21)):
        functions = ("surplus", "breach")[: 1 + number]
        ciphertext = keys.encrypt_under(masks_of(keys, 100 + number), z).to_bytes()
        evaluation = evaluator.evaluate(key_file, ciphertext, A, c, functions)
        surplus = keys._client.decrypt(  # the library's own decryption, not ours
            cfhe.Value.deserialize(
                message_from_bytes(evaluation.outputs["surplus"], layout_of(keys.profile).messages["surplus"])
            ),
            function_name="surplus",
        )
        assert np.array_equal(surplus, reference.surplus(z, A, c))
    assert int(keys.decrypt("breach", evaluation.outputs["breach"]).values[0]) == reference.breach(z, A, c) == 1


def test_errors_are_spread_like_the_library_s(keys: InstitutionKeys) -> None:
    layout, bits = layout_of(keys.profile).messages["input"], keys.secret_bits("input")
    z = np.zeros(keys.profile.entries, dtype=np.int64)
    theirs = np.concatenate(
        [phases(words_from_bytes(keys.encrypt(z), layout), bits).view(np.int64) for _ in range(150)]
    )
    masks = masks_of(keys, 0)  # one mask is enough here: these ciphertexts go nowhere
    ours = np.concatenate(
        [
            phases(words_from_bytes(keys.encrypt_under(masks, z).to_bytes(), layout), bits).view(np.int64)
            for _ in range(150)
        ]
    )
    pinned = layout_of(keys.profile).input_deviation * 2.0**64
    for sample in (theirs, ours):
        # 2,400 draws: the deviation's own standard error is 1.4 %, the mean's 2 % of the deviation.
        assert abs(sample.std() / pinned - 1) < 0.08
        assert abs(sample.mean()) < 0.12 * pinned
        assert np.abs(sample).max() < 1 << 18


def test_masks_depend_on_all_that_they_bind() -> None:
    bound = ("00" * 32, "22" * 32, "9a" * 32, "north", "11" * 32, 1)
    changed = ("01" * 32, "23" * 32, "9c" * 32, "south", "12" * 32, 2)
    others = [(*bound[:place], changed[place], *bound[place + 1 :]) for place in range(len(bound))]
    # None can take another's place either.
    others += [(bound[1], bound[0], *bound[2:]), (bound[0], bound[2], bound[1], *bound[3:])]
    seeds = {mask_seed(*item) for item in (bound, *others)}
    assert len(seeds) == 9
    masks = expand_masks(mask_seed(*bound), 4, 8)
    assert np.array_equal(masks, expand_masks(mask_seed(*bound), 4, 8))
    for other in others:
        assert not (masks == expand_masks(mask_seed(*other), 4, 8)).any()


def test_masks_and_bodies_are_frozen() -> None:
    # Computed once and written down: prover and verifier of different releases must expand the same masks.
    seed = mask_seed("00" * 32, "22" * 32, "9a" * 32, "north", "11" * 32, 1)
    assert seed.hex() == "57559a8e2ae9e50f0b6903333e2309200204dbde47aee4b011d1557ef511a0bf"
    masks = expand_masks(bytes(32), 1, 2)
    assert masks.astype("<u8").tobytes().hex() == "2e98df39c193e4fab19ff3ad555f9ceb"


def test_bodies_have_an_exact_length() -> None:
    assert bodies_from_bytes(bytes(range(16)), 2).tolist() == [0x0706050403020100, 0x0F0E0D0C0B0A0908]
    for length in (0, 8, 15, 17, 24):
        with pytest.raises(MalformedCiphertext):
            bodies_from_bytes(bytes(length), 2)


def test_masks_of_another_shape_are_refused(keys: InstitutionKeys) -> None:
    z = np.zeros(keys.profile.entries, dtype=np.int64)
    with pytest.raises(ValueError, match="masks must be"):
        keys.encrypt_under(masks_of(keys, 0)[:-1], z)


def test_fewer_entries_than_the_profile_s_are_filled_up_with_trivial_zeros(keys: InstitutionKeys) -> None:
    layout = layout_of(keys.profile).messages["input"]
    z = np.array([3, 31], dtype=np.int64)
    words = words_from_bytes(keys.encrypt_under(masks_of(keys, 0)[:2], z).to_bytes(), layout)
    assert not words[2:].any()
    assert keys.decrypt("input", words.astype("<u8").tobytes()).values.tolist() == [3, 31, *[0] * (layout.count - 2)]
