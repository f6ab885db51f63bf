"""Keys of the operator's staff: scopes, an end, and revocation that a running server notices."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import ConfigurationError, Conflict, NotFound
from atomic_margin.service.operator import staff
from atomic_margin.service.operator.staff import ALL_SCOPES, FILE, MAX_KEYS, Scope, StaffKeys

from .world import World

WorldAt = Callable[[str], World]
READ = frozenset({Scope.READ})


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["operator", "key", *map(str, arguments)])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_key_opens_what_its_scopes_say_until_it_is_revoked(world_at: WorldAt) -> None:
    world = world_at("enrolled")
    made = run("new", "--dir", world.directory, "--name", "monitoring", "--scope", "read", "--days", 7)
    assert made.exit_code == 0, made.output
    token = json.loads(made.stdout)["token"]
    assert world.client.get("/v1/ledger", headers=bearer(token)).status_code == 200
    refused = world.client.post("/v1/deposits", json={}, headers=bearer(token))
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:atomic-margin:problem:not-permitted")
    assert refused.json()["detail"] == (
        "staff/monitoring has no scope 'deposit'; take a key that has, or have one made"
    )
    listed = json.loads(run("list", "--dir", world.directory).stdout)
    assert [(key["name"], key["scopes"]) for key in listed] == [("monitoring", ["read"])]
    assert token not in (world.directory / FILE).read_text()
    assert run("revoke", "--dir", world.directory, "--name", "monitoring").exit_code == 0
    assert world.client.get("/v1/ledger", headers=bearer(token)).status_code == 401
    assert world.client.get("/v1/ledger", headers=world.admin).status_code == 200
    assert run("revoke", "--dir", world.directory, "--name", "monitoring").exit_code == 1


def test_a_key_ends_by_itself(tmp_path: Path) -> None:
    now = [datetime(2026, 11, 20, tzinfo=timezone.utc)]
    keys = StaffKeys(tmp_path, lambda: now[0])
    token = keys.new("alice", READ, 1)
    found = keys.of(token)
    assert found is not None
    assert (found.name, found.may) == ("alice", READ)
    now[0] += timedelta(days=1)
    assert keys.of(token) is None
    # Its name is free again, and the new key has another token.
    assert keys.new("alice", ALL_SCOPES, 1) != token
    assert keys.of(token) is None
    assert len(keys.all()) == 1


def test_a_name_is_of_one_key(tmp_path: Path) -> None:
    keys = StaffKeys(tmp_path)
    keys.new("alice", READ, 1)
    for name in ("alice", "admin"):
        with pytest.raises(Conflict):
            keys.new(name, READ, 1)
    with pytest.raises(NotFound, match="there are: alice"):
        keys.revoke("bob")
    for days in (0, 367):
        with pytest.raises(ConfigurationError):
            keys.new("bob", READ, days)


def test_two_commands_at_once_lose_no_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda number: StaffKeys(tmp_path).new(f"k{number}", READ, 1), range(24)))
    keys = StaffKeys(tmp_path)
    assert [keys.of(token).name for token in tokens] == [f"k{number}" for number in range(24)]  # type: ignore[union-attr]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_keys_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_KEYS == 256
    monkeypatch.setattr(staff, "MAX_KEYS", 2)
    keys = StaffKeys(tmp_path)
    keys.new("a", READ, 1)
    keys.new("b", READ, 1)
    with pytest.raises(Conflict, match="revoke one"):
        keys.new("c", READ, 1)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other", "keys": []}'])
def test_a_broken_file_opens_nothing_and_is_named(
    world_at: WorldAt, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = world_at("enrolled")
    token = world.operator.staff.new("alice", READ, 1)
    (world.directory / FILE).write_text(content)
    for _ in range(2):
        assert world.client.get("/v1/ledger", headers=bearer(token)).status_code == 401
    assert caplog.text.count("no key of the staff opens anything") == 1
    assert str(world.directory / FILE) in caplog.text
    # The first token does not rest on it.
    assert world.client.get("/v1/ledger", headers=world.admin).status_code == 200
    result = run("list", "--dir", world.directory)
    assert (result.exit_code, FILE in result.stderr) == (2, True)


def test_a_scope_nobody_knows_is_refused(tmp_path: Path) -> None:
    StaffKeys(tmp_path).new("alice", READ, 1)
    path = tmp_path / FILE
    path.write_text(path.read_text().replace('"read"', '"everything"'))
    with pytest.raises(ConfigurationError, match=r"scopes\[0\].*there are: admit"):
        StaffKeys(tmp_path).all()
    assert run("new", "--dir", tmp_path, "--name", "bob", "--scope", "everything").exit_code == 2


def test_the_token_can_go_to_a_file(tmp_path: Path) -> None:
    arguments = ("new", "--dir", tmp_path, "--scope", "read", "--scope", "halt", "--out", tmp_path / "t")
    made = run(*arguments, "--name", "alice")
    assert made.exit_code == 0, made.output
    token = (tmp_path / "t").read_text().strip()
    assert token not in made.stdout
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o600
    found = StaffKeys(tmp_path).of(token)
    assert found is not None
    assert found.may == {Scope.READ, Scope.HALT}
    # A file that is there is not written over.
    assert run(*arguments, "--name", "bob").exit_code == 2
    # Nor does one come to be whose key does not.
    other = (*arguments[:-1], tmp_path / "other", "--name", "alice")
    assert (run(*other).exit_code, (tmp_path / "other").exists()) == (1, False)
    assert [key.name for key in StaffKeys(tmp_path).all()] == ["alice"]
    assert run("new", "--dir", tmp_path / "none", "--name", "a", "--scope", "read").exit_code == 2
    assert run("list", "--dir", tmp_path / "none").exit_code == 2
