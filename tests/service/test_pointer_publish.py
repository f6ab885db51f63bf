"""The operator publishes under its name by transactions that its own keys sign; on anvil, over HTTP."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3

from atomic_margin.contracts import local_chain
from atomic_margin.service.cli.extras import EXTRAS
from atomic_margin.service.log.checkpoints import TreeHead, sign_head
from atomic_margin.service.log.tree import root
from atomic_margin.service.operator.store import log
from atomic_margin.service.pointer.errors import KeystoreUnusable
from atomic_margin.service.pointer.keystore import load_account
from atomic_margin.service.pointer.records import BUNDLE, CHECKPOINT, LOG, RAW_SHA256, TILES

from .. import outside
from ..contracts.names import NAME, SIGNER, Names, new_names, serving
from .following import served
from .stages import Stages
from .test_cli import call
from .test_log_evidence import Watched
from .test_pointer import Files
from .world import World

PASSWORD = "correct horse"  # noqa: S105
OWNER, PUBLISHER, POOR = (Account.from_key(f"0x{digits * 32}") for digits in ("61", "62", "63"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keystores, with a derivation of keys that is quick and no good elsewhere."""
    folder = tmp_path_factory.mktemp("keys")
    for name, account in (("owner", OWNER), ("publisher", PUBLISHER), ("poor", POOR), ("gateway", SIGNER)):
        encrypted = Account.encrypt(account.key, PASSWORD, kdf="pbkdf2", iterations=10)
        (folder / f"{name}.json").write_text(json.dumps(encrypted))
    (folder / "password").write_text(f"{PASSWORD}\n")
    return folder


@pytest.fixture(scope="module")
def names() -> Iterator[tuple[str, Names]]:
    """A node's address, and a name on its chain that belongs to a key of ours."""
    if shutil.which("node") is None or not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil() as w3:
        made = new_names(w3)
        for one in (OWNER, PUBLISHER):
            w3.eth.send_transaction({"from": w3.eth.accounts[0], "to": one.address, "value": Web3.to_wei(1, "ether")})
        made.own(NAME, OWNER.address)
        yield str(w3.provider.endpoint_uri), made  # type: ignore[attr-defined]


def test_an_operator_publishes_its_log(keys: Path, names: tuple[str, Names], stages: Stages, tmp_path: Path) -> None:
    rpc, chain = names
    text = chain.resolver.functions.text
    world: World = stages.open("fall-done", tmp_path / "operator")
    watched, run = Watched(world, 0), stages.bundles["fall"]["body"]["run"]["body"]["run_id"]

    def pointer(command: str, key: str, *options: object) -> Any:
        usual = ["--keystore", keys / f"{key}.json", "--password-file", keys / "password"]
        where = ["--rpc", rpc, "--registry", chain.registry.address]
        return call("operator", "pointer", command, NAME, *usual, *where, *options)

    with served(world) as server:
        at = ("--operator", server.url)
        watched.publish()
        (tmp_path / "first").write_text(world.client.get("/v1/log/checkpoint").text)
        # Nothing is published of a name that says no log.
        early = pointer("publish", "publisher", *at)
        assert (early.exit_code, LOG in early.stderr) == (2, True)
        own = ("--log", str(world.operator.log_key), "--publisher", PUBLISHER.address)
        stranger = pointer("own", "publisher", *own)
        assert (stranger.exit_code, "NotOwner" in stranger.stderr) == (2, True), stranger.stderr
        done = pointer("own", "owner", *own)
        assert done.exit_code == 0, done.output
        said = json.loads(done.stdout)
        assert (said["sent_by"], list(said["transactions"])) == (OWNER.address, ["setLog", "setPublisher"])
        assert text(chain.node, LOG).call() == str(world.operator.log_key)
        bundle = world.client.get(f"/v1/attestations/{run}", headers=world.admin).json()
        file = tmp_path / "bundle.json"
        file.write_text(json.dumps(bundle))
        where = ("--bundle", "https://files.example.org/bundle.json", "--bundle-file", file, "--tiles", server.url)
        done = pointer("publish", "publisher", *at, *where)
        assert done.exit_code == 0, done.output
        first = text(chain.node, CHECKPOINT).call()
        assert first == (tmp_path / "first").read_text()
        assert text(chain.node, BUNDLE).call() == "https://files.example.org/bundle.json"
        assert text(chain.node, TILES).call() == server.url
        assert chain.resolver.functions.contenthash(chain.node).call()[: len(RAW_SHA256)] == RAW_SHA256
        # Whoever has the trust file follows it, where its bundle is on this machine.
        files = Files()
        with serving(files.handler) as files.url:
            files.found = {"/bundle.json": file.read_bytes()}
            local = ("--bundle", f"{files.url}/bundle.json", "--bundle-file", file, "--tiles", server.url)
            assert pointer("publish", "owner", *at, *local).exit_code == 0
            (tmp_path / "trust.json").write_text(json.dumps(world.trust()))
            seen = call(
                "verify", f"ens:{NAME}", "--trust", tmp_path / "trust.json", "--rpc", rpc, "--registry",
                chain.registry.address, "--allow-host", "127.0.0.1",
            )  # fmt: skip
            assert (seen.exit_code, "valid" in seen.stdout) == (0, True), seen.output
        # The log goes on, and the name with it, but not back.
        watched.append(3)
        watched.publish()
        assert pointer("publish", "publisher", *at).exit_code == 0
        assert text(chain.node, CHECKPOINT).call() == world.client.get("/v1/log/checkpoint").text != first
        back = pointer("publish", "publisher", "--checkpoint", tmp_path / "first")
        assert (back.exit_code, "does not go on from it" in back.stderr) == (2, True)
        poor = pointer("publish", "poor", *at)
        assert poor.exit_code == 2, poor.output
        gateway = ("--gateway", f"{server.url}/v1/ens/{{sender}}/{{data}}.json", "--gateway-signer", SIGNER.address)
        assert pointer("own", "owner", *gateway).exit_code == 0
        assert chain.resolver.functions.gateway(chain.node).call() == [[gateway[1]], SIGNER.address]
        assert pointer("own", "owner", "--no-gateway").exit_code == 0
        assert chain.resolver.functions.gateway(chain.node).call()[0] == []
    for options in (
        (),
        ("--gateway", "https://g.example"),
        ("--log", "x"),
        ("--publisher", "x"),
        (*gateway, "--no-gateway"),
    ):
        assert pointer("own", "owner", *options).exit_code == 2
    assert pointer("publish", "owner", "--tiles", "https://x.example").exit_code == 2


def test_a_bundle_that_the_checkpoint_does_not_hold_is_not_published(
    keys: Path, names: tuple[str, Names], stages: Stages, tmp_path: Path
) -> None:
    rpc, chain = names
    world: World = stages.open("fall-done", tmp_path / "operator")
    watched, run = Watched(world, 0), stages.bundles["fall"]["body"]["run"]["body"]["run_id"]
    watched.publish()
    bundle = world.client.get(f"/v1/attestations/{run}", headers=world.admin).json()
    chain.w3.provider.make_request("anvil_impersonateAccount", [OWNER.address])  # type: ignore[arg-type]
    chain.do("setLog", chain.node, str(world.operator.log_key), by=OWNER.address)

    newest = max(int(leaf["index"]) for leaf in bundle["log"]["leaves"])
    with world.operator.store.reading() as session:
        head = TreeHead(world.operator.log_key.name, newest, root(log.reader(session), newest))
    (tmp_path / "early").write_text(str(sign_head(head, world.operator.identity)))
    world.close()
    for value, said in ((bundle, f"rests on entry {newest}"), ({**bundle, "log": None}, "does not show its entries")):
        (tmp_path / "bundle.json").write_text(json.dumps(value))
        result = call(
            "operator", "pointer", "publish", NAME, "--keystore", keys / "owner.json", "--password-file",
            keys / "password", "--rpc", rpc, "--registry", chain.registry.address, "--checkpoint", tmp_path / "early",
            "--bundle", "https://files.example.org/b.json", "--bundle-file", tmp_path / "bundle.json",
        )  # fmt: skip
        assert (result.exit_code, said in result.stderr) == (2, True), result.output


def test_keys_come_from_encrypted_files_alone(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_account(keys / "owner.json", keys / "password").address == OWNER.address
    monkeypatch.setattr("getpass.getpass", lambda prompt: PASSWORD)
    assert load_account(keys / "owner.json", None).address == OWNER.address
    (tmp_path / "wrong").write_text("wrong\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "plain.json").write_text(json.dumps({"key": OWNER.key.hex()}))
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text(json.dumps({"version": 3, "crypto": {}}))
    for keystore, password in (
        (keys / "owner.json", tmp_path / "wrong"),
        (keys / "owner.json", tmp_path / "empty"),
        (tmp_path / "plain.json", keys / "password"),
        (tmp_path / "list.json", keys / "password"),
        (tmp_path / "broken.json", keys / "password"),
        (tmp_path / "absent.json", keys / "password"),
    ):
        with pytest.raises(KeystoreUnusable) as caught:
            load_account(keystore, password)
        assert OWNER.key.hex() not in str(caught.value)
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        ("verify", f"ens:{NAME}", "--trust", "trust.json"),
        ("operator", "pointer", "own", NAME, "--keystore", "key.json", "--publisher", OWNER.address),
        ("operator", "pointer", "publish", NAME, "--keystore", "key.json"),
    ],
)
def test_without_the_extra_it_is_named(
    command: tuple[str, ...], stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXTRAS, "chain", ("not_installed_anywhere",))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trust.json").write_text(json.dumps(stages.trust))
    result = call(*command, "--rpc", "http://127.0.0.1:9")
    assert result.exit_code == 2
    assert "needs the extra chain: pip install 'atomic-margin[chain]'" in " ".join(result.stderr.split())
