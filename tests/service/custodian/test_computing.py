"""What a custodian's computation is told by the operator: addresses of the others, which are no more than text."""

import pytest

from atomic_margin.service.custodian.computing import _address
from atomic_margin.service.custodian.errors import SessionRefused


@pytest.mark.parametrize(
    ("text", "place"),
    [("127.0.0.1:8430", ("127.0.0.1", 8430)), ("[::1]:9", ("::1", 9)), ("c.example:443", ("c.example", 443))],
)
def test_an_address_is_a_host_and_a_port(text: str, place: tuple[str, int]) -> None:
    assert _address(text) == place


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "host:port", "host:-1", ":1", "a b:1", "host:123456", "host:1\n"]
)
def test_what_is_no_address_ends_the_session_by_name(text: str) -> None:
    with pytest.raises(SessionRefused, match="names an address that is none"):
        _address(text)
