"""One rule for names: what signed documents, paths and people see."""

import pytest
from pydantic import ValidationError

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.protocol.messages import Admission
from atomic_margin.service.protocol.names import require_name

KEY = "9a" * 32


@pytest.mark.parametrize("name", ["fund", "F", "9-x_y", "a" * 32])
def test_a_name_that_paths_and_documents_can_have_is_taken(name: str) -> None:
    assert require_name(name) == Admission(institution=name, name="X", identity=_valid_key()).institution


@pytest.mark.parametrize("name", ["", "a" * 33, "-fund", "fönd", "a.b", "a/b", "fund\n"])
def test_agents_and_operators_refuse_the_same_names(name: str) -> None:
    with pytest.raises(ConfigurationError, match="a name has at most 32 letters, digits, - and _"):
        require_name(name)
    with pytest.raises(ValidationError):
        Admission(institution=name, name="X", identity=_valid_key())


def _valid_key() -> str:
    from atomic_margin.service.protocol.signing import Identity

    return Identity.generate().public_key


def test_people_are_called_what_they_are_called() -> None:
    for name in ("Société Générale", "野村證券", "Cafe\u0301 Fund"):
        taken = Admission(institution="fund", name=name, identity=_valid_key()).name
        assert taken in ("Société Générale", "野村證券", "Café Fund")
    for hidden in ("", "a" * 65, "Fund\u202egnp", "Fund\u200b", "Fund\nLP", "Fund\x00"):
        with pytest.raises(ValidationError):
            Admission(institution="fund", name=hidden, identity=_valid_key())
