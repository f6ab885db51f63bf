"""Keys come from files that nobody else reads, and addresses from files in which nothing is mistyped."""

import json
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.contracts.addresses import FORMAT, ChainAddresses
from atomic_margin.contracts.errors import (
    AddressesInvalid,
    ContractsError,
    KeystoreError,
    KeystoreNotPrivate,
    WrongPassword,
)
from atomic_margin.contracts.keystore import create_key, load_key, read_password

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
GOOD = {
    "format": FORMAT,
    "chain": "31337",
    **dict.fromkeys(("vault", "oracle", "verifier", "token"), ADDRESS),
    "asset": "USDC",
}


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def keystore(tmp_path: Path) -> tuple[Path, str]:
    """A keystore that takes little work to open, and the address in it."""
    path = tmp_path / "keystore.json"
    return path, create_key(path, "correct horse", iterations=2).address


def test_a_key_is_made_once_and_opened_by_its_password(keystore: tuple[Path, str], password: Path) -> None:
    path, address = keystore
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, password).address == address
    assert load_key(path, None, lambda: "correct horse").address == address
    with pytest.raises(KeystoreError, match="File exists"):
        create_key(path, "another", iterations=2)
    with pytest.raises(WrongPassword, match="is not that of this keystore"):
        load_key(path, None, lambda: "wrong")
    with pytest.raises(WrongPassword, match="needs its password"):
        load_key(path, None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610])
def test_what_others_may_read_or_change_is_not_used(keystore: tuple[Path, str], password: Path, mode: int) -> None:
    path, _ = keystore
    for file in (path, password):
        file.chmod(mode)
        with pytest.raises(KeystoreNotPrivate, match=f"chmod 600 {file}"):
            load_key(path, password)
        file.chmod(0o600)
    assert load_key(path, password)


def test_passwords_are_one_line(password: Path) -> None:
    for text in ("", "\n", "one\ntwo\n"):
        password.write_text(text)
        with pytest.raises(WrongPassword, match="on one line"):
            read_password(password)
    password.write_bytes(b"\xff")
    with pytest.raises(KeystoreError, match="UTF-8"):
        read_password(password)
    password.write_text("x" * 5000)
    with pytest.raises(KeystoreError, match="larger than"):
        read_password(password)
    password.write_text(" spaced \r\n")
    assert read_password(password) == " spaced "


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b'{"crypto": 1}', b"\xff", b"[" * 3000])
def test_what_is_no_keystore(keystore: tuple[Path, str], password: Path, content: bytes) -> None:
    path, _ = keystore
    path.write_bytes(content)
    with pytest.raises(KeystoreError, match="is no keystore"):
        load_key(path, password)


def test_a_keystore_that_was_changed(keystore: tuple[Path, str], password: Path, tmp_path: Path) -> None:
    path, _ = keystore
    made = json.loads(path.read_text())
    other: Any = json.loads(json.dumps(made))
    other["crypto"]["kdfparams"]["n"] = 1 << 30
    path.write_text(json.dumps(other))
    with pytest.raises(KeystoreError, match="more work than a keystore needs"):
        load_key(path, password)
    path.write_text(json.dumps({**made, "address": "00" * 20}))
    with pytest.raises(KeystoreError, match="holds the key of"):
        load_key(path, password)
    path.write_text(json.dumps({**made, "version": 9}))
    with pytest.raises(KeystoreError, match="cannot be read"):
        load_key(path, password)
    with pytest.raises(KeystoreError, match="No such file"):
        load_key(tmp_path / "nothing", password)
    with pytest.raises(KeystoreError, match="no regular file"):
        load_key(tmp_path, password)


def test_addresses_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    path.write_text(json.dumps(GOOD))
    found = ChainAddresses.load(path)
    assert (found.chain, found.vault, found.asset) == (31337, ADDRESS, "USDC")
    assert ChainAddresses.parse(found.to_json()) == found
    # In lower case it has no check of its own, and means the same.
    assert ChainAddresses.parse(json.dumps(GOOD | {"vault": ADDRESS.lower()})) == found


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"vault": ADDRESS.replace("aA", "Aa")}, "vault: the capitals of"),
        ({"vault": ADDRESS[:-1]}, "vault: write an address"),
        ({"token": "0x" + "00" * 20}, "token: the zero address"),
        ({"token": None}, "token: write an address"),
        ({"chain": 31337}, "chain: write the id as a decimal string"),
        ({"chain": "0"}, "chain: write"),
        ({"chain": str(1 << 63)}, "chain: write"),
        ({"asset": ""}, "asset: write"),
        ({"format": "atomic-margin/chain-addresses/2"}, "format: write"),
        ({"proxy": ADDRESS}, "proxy: no such field"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = tmp_path / "addresses.json"
    path.write_text(json.dumps(GOOD | changed))
    with pytest.raises(AddressesInvalid, match=said) as caught:
        ChainAddresses.load(path)
    assert str(caught.value).startswith(str(path))
    assert isinstance(caught.value, ContractsError)


def test_what_is_no_file_of_addresses(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    with pytest.raises(AddressesInvalid, match="No such file"):
        ChainAddresses.load(path)
    for data, said in (
        (b"[]", "a JSON object is wanted"),
        (b"{", "no JSON"),
        (b"\xff", "not UTF-8"),
        (b" " * 20_000, "larger than"),
        (json.dumps(GOOD).encode().replace(b"{", b'{"asset": "DAI", ', 1), "there twice"),
    ):
        path.write_bytes(data)
        with pytest.raises(AddressesInvalid, match=said):
            ChainAddresses.load(path)
    del GOOD["asset"]
    with pytest.raises(AddressesInvalid, match="asset: this field is missing"):
        ChainAddresses.parse(json.dumps(GOOD))
    GOOD["asset"] = "USDC"
