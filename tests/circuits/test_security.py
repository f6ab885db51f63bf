"""Parameters with too little noise, or too likely to fail, are refused before anybody makes keys from them."""

import json
import math
from typing import Any

import pytest

from atomic_margin.circuits import compiling, security
from atomic_margin.circuits.compiling import compile_profile, compiled_module
from atomic_margin.circuits.concrete import cfhe
from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import STANDARD, TINY, Profile
from atomic_margin.circuits.security import check_security, least_deviation
from atomic_margin.fhe.institution import InstitutionKeys


@pytest.fixture(scope="module")
def specs() -> bytes:
    return compiled_module(TINY).client_specs


def changed(specs: bytes, kind: str, number: int, factor: float) -> bytes:
    described = json.loads(specs)
    described["keyset"][kind][number]["params"]["variance"] *= factor
    return json.dumps(described).encode()


# Points that Concrete's own tables of secure parameters give for 128 bits: dimension, log2 of the deviation.
@pytest.mark.parametrize(("dimension", "deviation"), [(630, -13.5), (1024, -23.6), (2048, -49.95)])
def test_the_curve(dimension: int, deviation: float) -> None:
    assert least_deviation(dimension) == pytest.approx(deviation, abs=0.1)


@pytest.mark.parametrize("profile", [TINY, STANDARD], ids=lambda profile: profile.name)
def test_published_profiles_are_on_the_curve_and_not_far_above(profile: Profile) -> None:
    found = compiled_module(profile).client_specs
    assert check_security(found) == 128
    # A tenth of the noise everywhere, 3.3 in the logarithm, and it is refused: nothing is that far above the curve.
    for kind in ("lweBootstrapKeys", "lweKeyswitchKeys"):
        for number in range(len(json.loads(found)["keyset"][kind])):
            with pytest.raises(ProfileError, match="too small for dimension"):
                check_security(changed(found, kind, number, 0.01))


def test_a_little_less_noise_in_any_key_is_refused(specs: bytes) -> None:
    """Half a bit of deviation less, in whichever key, even where it is the only one."""
    keyset, refused = json.loads(specs)["keyset"], 0
    for kind in ("lweBootstrapKeys", "lweKeyswitchKeys", "packingKeyswitchKeys"):
        for number in range(len(keyset[kind])):
            with pytest.raises(ProfileError, match="bits of security"):
                check_security(changed(specs, kind, number, 0.5))
            check_security(changed(specs, kind, number, 1.5))
            refused += 1
    assert refused >= 4


def test_a_little_less_noise_in_the_encryption_of_z_is_refused(specs: bytes) -> None:
    described: dict[str, Any] = json.loads(specs)
    gate = described["circuits"][-1]["inputs"][0]
    gate["typeInfo"]["lweCiphertext"]["encryption"]["variance"] *= 0.5
    with pytest.raises(ProfileError, match="too small for dimension 2048"):
        check_security(json.dumps(described).encode())


def test_a_smaller_dimension_is_refused(specs: bytes) -> None:
    described = json.loads(specs)
    for key in described["keyset"]["lweSecretKeys"]:
        key["params"]["lweDimension"] -= 40
    with pytest.raises(ProfileError, match="too small for dimension"):
        check_security(json.dumps(described).encode())


def test_keys_of_another_distribution_are_refused(specs: bytes) -> None:
    described = json.loads(specs)
    described["keyset"]["lweSecretKeys"][0]["params"]["keyType"] = "ternary"
    with pytest.raises(ProfileError, match="expected binary"):
        check_security(json.dumps(described).encode())


@pytest.mark.parametrize("weakness", ["security", "failure probability"])
def test_the_client_refuses_before_it_makes_keys(monkeypatch: pytest.MonkeyPatch, weakness: str) -> None:
    if weakness == "security":
        # As if the curve had been found too low by two bits of noise.
        monkeypatch.setattr(security, "_BIAS", security._BIAS + 2)
    else:
        statistics = compiling.Statistics.from_json
        monkeypatch.setattr(compiling.Statistics, "from_json", lambda data: statistics({**data, "p_error": 2.0**-100}))
    compile_profile(TINY)  # so that it is in the cache, and remembered as right
    monkeypatch.setattr(compiling, "compiled_module", compiled_module.__wrapped__)
    made: list[object] = []
    monkeypatch.setattr(cfhe, "Client", lambda specs: made.append(specs))
    with pytest.raises(ProfileError, match="bits of security" if weakness == "security" else "p_error"):
        InstitutionKeys.generate(TINY)
    assert made == []


def test_the_deviation_is_read_from_a_variance(specs: bytes) -> None:
    described = json.loads(specs)
    encryption = described["circuits"][0]["inputs"][0]["typeInfo"]["lweCiphertext"]["encryption"]
    assert 0.5 * math.log2(encryption["variance"]) == pytest.approx(least_deviation(2048), abs=0.05)
