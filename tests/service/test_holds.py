"""Accounts that the operator holds because somebody else may have their identity key."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.cli.main import app
from atomic_margin.service.errors import AccountHeld, AgentRefused, ConfigurationError, NotFound, RemoteError
from atomic_margin.service.institution import rotation
from atomic_margin.service.operator import holds as module
from atomic_margin.service.operator.accounts import identities
from atomic_margin.service.operator.holds import FILE, Holds
from atomic_margin.service.operator.web.access import OWN, TABLE, harmless
from atomic_margin.service.protocol.signing import Identity

from .. import postgres
from .documents import FUND
from .resident import Resident
from .rounds import flat, lose, mend
from .rounds import resident as resident
from .rounds import residents as residents
from .test_identity_rotation import checked, document, rotate

PATH = f"/v1/institutions/{FUND}"
HARMLESS = {f"{PATH}/identity", f"{PATH}/coverage", f"/v1/runs/{FUND}.1/answer"}


def run(command: str, *arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, ["operator", command, *map(str, arguments)])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if status == 0 else result.stderr


def hold(resident: Resident, *more: object) -> Any:
    url = postgres.url_of(resident.world.directory)
    database = () if url is None else ("--database", url)
    return run("hold", FUND, "--reason", "key reported stolen", "--dir", resident.world.directory, *database, *more)


def test_a_held_account_takes_what_proves_itself_and_nothing_else(resident: Resident) -> None:
    world = resident.world
    said = hold(resident)
    assert (said["institution"], said["reason"]) == (FUND, "key reported stolen")
    for (method, path), access in TABLE.items():
        # An answer to HEAD has no body that would say.
        if access != OWN or method == "HEAD":
            continue
        named = path.format(institution=FUND, run_id=f"{FUND}.1", sha256="1a" * 32, deal="1a" * 32)
        response = world.client.request(method, named, json={}, auth=world.auth())
        held = response.json().get("type") == "urn:atomic-margin:problem:account-held"
        assert held == (method not in ("GET", "HEAD") and named not in HARMLESS), (method, named, response.text)
    assert world.client.get(f"{PATH}/entries", auth=world.auth()).status_code == 200
    # A run goes on, and is answered.
    run_id = world.play(1)
    assert resident.agent.answer_due() == [run_id]
    # Nobody's rotation is taken, the institution's own neither.
    with pytest.raises(AccountHeld, match="key reported stolen; no other key is agreed on yet"):
        identities.rotate(world.operator, FUND, document(resident, Identity.generate()))
    # It is the operator's own caution, and no event of the account.
    world.deposit(FUND, "USDC", 5, "meanwhile")
    checked(resident)


def test_it_waits_for_the_key_that_was_agreed_on(resident: Resident) -> None:
    world = resident.world
    resident.agent.answer_due()
    resident.agent.close()
    resident._agent = None
    agreed = rotation.make_next(resident.folder).public_key
    hold(resident)
    assert hold(resident, "--key", agreed)["key"] == agreed
    (shown,) = run("holds", "--dir", world.directory)
    assert (shown["institution"], shown["key"]) == (FUND, agreed)
    # The thief's rotation, which both of its keys signed.
    with pytest.raises(AccountHeld, match=f"it waits for the key {agreed}"):
        identities.rotate(world.operator, FUND, document(resident, Identity.generate()))
    assert rotate(resident) == agreed
    # Whoever has the agreed key is not held.
    resident.agent.instruct("post", "USDC", 1)
    run("unhold", FUND, "--dir", world.directory)
    assert run("holds", "--dir", world.directory) == []
    assert "is not held; held are: none" in run("unhold", FUND, "--dir", world.directory, status=1)
    checked(resident)


def test_whoever_was_robbed_waits_for_nothing_that_a_hold_keeps_out(resident: Resident) -> None:
    resident.agent.answer_due()
    lose(resident, "/submissions", "request")
    with pytest.raises(RemoteError):
        resident.agent.submit(flat())
    mend(resident)
    hold(resident)
    agreed = rotation.make_next(resident.folder).public_key
    hold(resident, "--key", agreed)
    with pytest.raises(AgentRefused, match="is not entered yet"):
        rotate(resident)
    assert rotate(resident, adopt=True) == agreed
    assert resident.agent.answer_due() == []
    (before,) = [row for row in resident.submissions if row.entry is None]
    assert before.superseded == "the identity key that signed it was replaced"
    resident.agent.submit(flat())
    checked(resident)


def test_a_thief_who_rotated_first_gets_nothing_out(resident: Resident) -> None:
    world, thief = resident.world, Identity.generate()
    identities.rotate(world.operator, FUND, document(resident, thief))
    hold(resident)
    refused = world.client.post(f"{PATH}/collateral", json={}, auth=world.signed_by(thief))
    assert refused.json()["type"] == "urn:atomic-margin:problem:account-held"
    with pytest.raises(AccountHeld):
        identities.rotate(world.operator, FUND, document(resident, Identity.generate(), old=thief))


def test_a_name_that_is_no_account_holds_nobody(resident: Resident) -> None:
    url = postgres.url_of(resident.world.directory)
    database = () if url is None else ("--database", url)
    directory = resident.world.directory
    said = run("hold", "nobody", "--reason", "a slip", "--dir", directory, *database, status=1)
    assert "there is no account 'nobody' here; there are: larkfield" in said
    assert not (directory / FILE).exists()
    for command in ("holds", "unhold"):
        arguments = ("--dir", directory / "nowhere") if command == "holds" else (FUND, "--dir", directory / "nowhere")
        assert "is not there; --dir is the folder of" in run(command, *arguments, status=2)
    assert "is not there" in run("hold", FUND, "--reason", "x", "--dir", directory / "nowhere", status=2)


def test_a_file_that_cannot_be_read_holds_everybody(resident: Resident) -> None:
    world = resident.world
    (world.directory / FILE).write_text("{")
    refused = world.client.post(f"{PATH}/collateral", json={}, auth=world.auth())
    assert refused.json()["type"] == "urn:atomic-margin:problem:account-held"
    assert "cannot tell which accounts are held" in refused.json()["detail"]
    with pytest.raises(ConfigurationError, match="does not hold holds of accounts"):
        Holds(world.directory).all()
    assert world.client.get(f"{PATH}/entries", auth=world.auth()).status_code == 200


def test_holds_are_bounded_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holds = Holds(tmp_path)
    monkeypatch.setattr(module, "MAX_HOLDS", 2)
    for name in ("a", "b"):
        holds.hold(name, "stolen")
    with pytest.raises(ConfigurationError, match="end a hold first"):
        holds.hold("c", "stolen")
    # The same one again is held otherwise.
    holds.hold("a", "stolen", "9a" * 32)
    holds.require_open("a", "9a" * 32)
    holds.require_open("c", "1a" * 32)
    for name, key in (("a", "1a" * 32), ("b", "9a" * 32)):
        with pytest.raises(AccountHeld):
            holds.require_open(name, key)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    holds.end("a")
    holds.require_open("a", "1a" * 32)
    with pytest.raises(NotFound, match="held are: b"):
        holds.end("a")
    for reason, key in (("two\nlines", None), ("stolen", "no key")):
        with pytest.raises(DocumentError):
            holds.hold("a", reason, key)


def test_what_is_harmless_is_read_or_proves_itself() -> None:
    assert harmless("GET", f"{PATH}/entries")
    assert all(harmless("POST", path) for path in HARMLESS)
    for path in (f"{PATH}/collateral", f"{PATH}/submissions", f"{PATH}/readers", f"{PATH}/identity/more"):
        assert not harmless("POST", path)
