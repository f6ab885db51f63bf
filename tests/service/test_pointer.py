"""`verify ens:NAME`: from a name on a chain to a bundle that holds, and everything that can be wrong on the way."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_abi.abi import encode
from eth_account import Account

from atomic_margin.contracts import local_chain
from atomic_margin.service.log.checkpoints import Checkpoint, TreeHead, sign_head, witness_key
from atomic_margin.service.log.tree import root
from atomic_margin.service.operator.publishing import Publisher
from atomic_margin.service.operator.store import checkpoints, log
from atomic_margin.service.pointer.gateway import POINTER, Gateway, GatewaySettings
from atomic_margin.service.pointer.records import RAW_SHA256
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile

from ..contracts.names import NAME, SIGNER, Names, new_names, node_over_http, serving
from .bundles import STEPS
from .documents import FUND
from .following import Served, served
from .stages import Stages
from .test_cli import call
from .test_log_evidence import entry
from .world import World

pytestmark = pytest.mark.usefixtures("proofs_checked_once")

BEFORE, AFTER = ["name", "log of the name", "bundle of the name"], "checkpoint of the name"
LOCAL = ("--allow-host", "127.0.0.1")


class Files:
    """A server of files by their paths: each its bytes, or what is to be answered in another way."""

    def __init__(self) -> None:
        self.found: dict[str, bytes | Callable[[BaseHTTPRequestHandler], None]] = {}
        self.url = ""

    @property
    def handler(self) -> type[BaseHTTPRequestHandler]:
        files = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = files.found.get(self.path)
                if callable(found):
                    found(self)
                    return
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(found or b"")))
                self.end_headers()
                self.wfile.write(found or b"")

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@dataclasses.dataclass
class Home:
    """An operator whose log went on after a bundle was made, its name on a chain, and what it has published."""

    names: Names
    node: str
    files: Files
    world: World
    server: Served
    folder: Path
    bundle: dict[str, Any]
    size: int

    @property
    def key(self) -> str:
        return str(self.world.operator.log_key)

    @property
    def shown(self) -> Checkpoint:
        """The bundle's own."""
        return Checkpoint.parse(self.bundle["log"]["checkpoint"])

    @property
    def newest(self) -> int:
        """The newest leaf that the bundle rests on."""
        return max(int(leaf["index"]) for leaf in self.bundle["log"]["leaves"])

    def checkpoint(self, size: int, root_: bytes | None = None, by: Identity | None = None) -> str:
        """A checkpoint of so many leaves, or of a forged root, or by another key."""
        operator = self.world.operator
        with operator.store.reading() as session:
            found = root_ or root(log.reader(session), size)
        return str(sign_head(TreeHead(operator.log_key.name, size, found), by or operator.identity))

    def publish(self, checkpoint: str | None = None, **other: Any) -> None:
        """Publish a bundle, or other bytes under its address, as the operator does it, or otherwise."""
        data = other.get("data", json.dumps(self.bundle).encode())
        self.files.found = {"/bundle.json": data, **other.get("files", {})}
        hash_ = other.get("hash_", RAW_SHA256 + hashlib.sha256(data).digest())
        bundle = other.get("bundle", f"{self.files.url}/bundle.json")
        tiles = other.get("tiles", self.server.url)
        names = self.names
        names.do("setGateway", names.node, [], "0x" + "00" * 20, by=names.owner)
        names.do("setLog", names.node, other.get("key", self.key), by=names.owner)
        note = self.checkpoint(self.size) if checkpoint is None else checkpoint
        names.do("publish", names.node, note, bundle, tiles, hash_, by=names.publisher)

    def verify(self, *options: str, name: str = NAME, trust: Any = None) -> Any:
        """What the command says, with its exit status."""
        file = self.folder / "trust.json"
        file.write_text(json.dumps(self.world.trust() if trust is None else trust))
        chain = ["--rpc", self.node, "--registry", self.names.registry.address]
        return call("verify", f"ens:{name}", "--trust", file, *chain, *(options or LOCAL))

    def fails(self, step: str, error: str) -> None:
        """What was published does not hold: the step and the error are named, with status 1."""
        result = self.verify("--json", *LOCAL)
        assert result.exit_code == 1, result.output
        said = json.loads(result.stdout)
        assert (said["valid"], said["failed"]) == (False, step)
        assert error in said["reason"]
        assert [*said["held"], step, *said["not_checked"]] == [*BEFORE, *STEPS, AFTER]

    def undecided(self, said: str, *options: str, **named: Any) -> None:
        """Nothing is decided: a sentence, with status 2."""
        result = self.verify(*options, **named)
        assert (result.exit_code, "valid" in result.stdout) == (2, False), result.output
        assert said in " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def home(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("pointer")
    world = stages.open("fall-done", folder / "operator")
    operator, run = world.operator, stages.bundles["fall"]["body"]["run"]["body"]["run_id"]
    publisher = Publisher(operator)
    publisher.publish()
    bundle = world.client.get(f"/v1/attestations/{run}", headers=world.admin).json()
    with operator.store.unit_of_work() as session:
        for _ in range(300):
            log.append(session, entry(log.size(session)))
        size = log.size(session)
    publisher.publish()
    publisher.close()
    names, files = new_names(local_chain.tester()), Files()
    with node_over_http(names.w3) as node, serving(files.handler) as files.url, served(world) as server:
        yield Home(names, node, files, world, server, folder, bundle, size)


def test_a_name_leads_to_a_bundle_that_holds(home: Home) -> None:
    home.publish()
    result = home.verify()
    assert result.exit_code == 0, result.output
    assert result.stdout.count("✓") == len(STEPS) + 4
    assert f"{NAME} (chain {home.names.w3.eth.chain_id}, block " in result.stdout
    assert f"its checkpoint of {home.size} leaves is {home.size - home.shown.head.size} leaves later" in result.stdout
    said = json.loads(home.verify("--json", *LOCAL).stdout)
    assert (said["valid"], said["held"]) == (True, [*BEFORE, *STEPS, AFTER])
    assert said["institution"] == FUND
    pointer = said["pointer"]
    assert (pointer["name"], pointer["log"], pointer["size"]) == (NAME, home.key, str(home.size))
    assert pointer["sha256"] == hashlib.sha256(home.files.found["/bundle.json"]).hexdigest()  # type: ignore[arg-type]


def test_the_checkpoint_may_be_the_bundle_s_or_between_it_and_its_entries(home: Home) -> None:
    shown = home.shown.head
    home.publish(str(home.shown), tiles="", hash_=b"")
    assert "is the bundle's" in home.verify().stdout
    assert home.newest + 1 < shown.size
    home.publish(home.checkpoint(home.newest + 1))
    assert "leaves earlier than the bundle's" in home.verify().stdout


def test_a_checkpoint_before_the_bundle_s_entries_is_too_old(home: Home) -> None:
    home.publish(home.checkpoint(home.newest))
    home.fails(AFTER, f"CheckpointOlder: the bundle rests on entry {home.newest}")


@pytest.mark.parametrize("more", [0, 1, 57, -1])
def test_a_checkpoint_of_another_history_is_a_fork(home: Home, more: int) -> None:
    home.publish(home.checkpoint(home.shown.head.size + more, b"\x17" * 32))
    home.fails(AFTER, "CheckpointForked: ")


@pytest.mark.long
def test_tiles_of_another_log_show_nothing(home: Home) -> None:
    path = f"/v1/log/tile/0/001.p/{home.size - 256}"
    tiles = {
        path: bytes(32 * (home.size - 256)),
        "/v1/log/tile/0/000": bytes(32 * 256),
        "/v1/log/tile/1/000.p/1": bytes(32),
    }
    home.publish(tiles=home.files.url, files=tiles)
    home.fails(AFTER, "CheckpointForked: ")
    home.publish(tiles=home.files.url, files={name: data + b"x" for name, data in tiles.items()})
    home.fails(AFTER, "CheckpointForked: ")
    home.publish(tiles=home.files.url)
    home.undecided("answers with status 404")
    home.publish(tiles="")
    home.undecided("has no record atomic-margin.tiles")


def test_a_name_of_another_log_is_not_followed(home: Home) -> None:
    stranger, origin = Identity.generate(), home.world.operator.log_key.name
    other = str(dataclasses.replace(home.world.operator.log_key, public=bytes.fromhex(stranger.public_key)))
    home.publish(home.checkpoint(home.size, by=stranger), key=other)
    home.fails("log of the name", f"LogDiffers: {NAME} is of the log {origin}")
    # The operator's key under another origin: the bundle's checkpoint is not of that log.
    renamed = dataclasses.replace(home.world.operator.log_key, name="other.example/log")
    head = TreeHead(renamed.name, home.size, home.shown.head.root)
    home.publish(str(sign_head(head, home.world.operator.identity)), key=str(renamed))
    home.fails(AFTER, "LogDiffers: the bundle is not of the log of fund.example")
    trust = home.world.trust()
    witness = str(witness_key("w.example", stranger.public_key))
    trust["log"] = {"key": home.key, "witnesses": [witness], "threshold": "1", "max_age_seconds": "60"}
    TrustFile.parse(trust)
    result = home.verify(*LOCAL, trust=trust)
    assert (result.exit_code, "LogDiffers: " in result.stdout) == (1, True)


def test_a_bundle_that_shows_no_log_is_of_none(home: Home) -> None:
    home.publish(data=json.dumps({**home.bundle, "log": None}).encode())
    home.fails(AFTER, "LogDiffers: the bundle does not show")


def test_evidence_of_other_leaves_is_none(home: Home) -> None:
    evidence = home.bundle["log"]
    home.publish(data=json.dumps({**home.bundle, "log": {**evidence, "leaves": evidence["leaves"][::-1]}}).encode())
    home.fails(AFTER, "LogDiffers: ")


def test_a_bundle_that_was_changed_is_another(home: Home) -> None:
    whole = json.dumps(home.bundle).encode()
    home.publish(data=whole + b" ", hash_=RAW_SHA256 + hashlib.sha256(whole).digest())
    home.fails("bundle of the name", "BundleDiffers: ")
    changed = {**home.bundle, "body": {**home.bundle["body"], "version": "7"}}
    home.publish(data=json.dumps(changed).encode())
    home.fails("format", "version")
    changed = {**home.bundle, "signature": "00" * 64}
    home.publish(data=json.dumps(changed).encode(), hash_=b"")
    home.fails("attestation", "sign")
    home.publish(data=b"{")
    home.fails("format", "not JSON")


def test_records_that_are_malformed_or_missing(home: Home) -> None:
    for checkpoint in ("no checkpoint", home.checkpoint(home.size, by=Identity.generate())):
        home.publish(checkpoint)
        home.fails("name", "RecordMalformed: atomic-margin.checkpoint")
    home.publish(key="no key")
    home.fails("name", "RecordMalformed: atomic-margin.log")
    home.publish(key=str(witness_key("w.example", home.world.key)))
    home.fails("name", "RecordMalformed: atomic-margin.log")
    home.publish(hash_=b"\xe3\x01\x01\x70" + b"\x12\x20" + bytes(32))
    home.fails("name", "RecordMalformed: contenthash")
    home.publish("")
    home.undecided("has no record atomic-margin.checkpoint")
    home.publish(bundle="")
    home.undecided("has no record atomic-margin.bundle")
    home.publish(key="")
    home.undecided("has no record atomic-margin.log")


def test_names_without_a_resolver_or_with_none_of_ours(home: Home) -> None:
    names = home.names
    home.undecided("other.example has no resolver", name="other.example")
    # One below ours has none, and ours answers for it, with nothing.
    home.publish()
    home.undecided("has no record", name=f"below.{NAME}")
    names.own("plain.example", names.owner, names.registry.address)
    home.undecided("has no text records", name="plain.example")
    home.undecided("the name above it is for itself alone", name="below.plain.example")
    names.own("nothing.example", names.owner, names.stranger)
    home.undecided("has no text records", name="nothing.example")
    result = call(
        "verify", f"ens:{NAME}", "--trust", home.folder / "trust.json", "--rpc", home.node, "--registry", names.stranger
    )
    assert (result.exit_code, "no registry" in result.stderr) == (2, True)


@pytest.mark.long
def test_addresses_that_are_not_followed(home: Home) -> None:
    home.publish()
    home.undecided("https is wanted", "--allow-host", "example.org")
    for url, said in (
        ("https://127.0.0.1:9/x", "no public address"),
        ("https://169.254.169.254/latest/meta-data", "no public address"),
        ("file:///etc/passwd", "https is wanted"),
    ):
        home.publish(bundle=url)
        home.undecided(said, "--allow-host", "example.org")


def test_a_download_has_a_limit(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomic_margin.service.cli.verify_ens.MAX_FILE_BYTES", 1000)
    home.publish()
    home.undecided("at most 1000 are taken")


def test_options_that_do_not_go_together(home: Home) -> None:
    trust = home.folder / "trust.json"
    trust.write_text(json.dumps(home.world.trust()))
    result = call("verify", f"ens:{NAME}", "--trust", trust)
    assert (result.exit_code, "--rpc" in result.stderr) == (2, True)
    for more in ((trust,), ("--html", home.folder / "page.html")):
        result = call("verify", f"ens:{NAME}", *more, "--trust", trust, "--rpc", home.node)
        assert result.exit_code == 2
    result = call("verify", f"ens:{NAME}", "--trust", trust, "--rpc", home.node, "--registry", "0x12")
    assert (result.exit_code, "--registry" in result.stderr) == (2, True)


@pytest.fixture
def gated(home: Home) -> Iterator[Home]:
    """The same with the operator's gateway, over its own server."""
    home.publish(home.checkpoint(home.newest), bundle="https://nobody.example/", tiles="", hash_=b"")
    home.files.found = {"/bundle.json": json.dumps(home.bundle).encode()}
    operator, before = home.world.operator, home.world.operator.settings
    settings = {
        "format": "atomic-margin/ens-gateway/1",
        "name": NAME,
        "chain": str(home.names.w3.eth.chain_id),
        "resolver": home.names.resolver.address,
        "keystore": "unused",
        "password_file": "unused",
        "bundle": f"{home.files.url}/bundle.json",
        "tiles": home.server.url,
        "valid_seconds": "3600",
    }
    gateway = Gateway(GatewaySettings.parse(settings), SIGNER)
    operator.settings = dataclasses.replace(before, ens_gateway=gateway)
    point(home, f"{home.server.url}/v1/ens/{{sender}}/{{data}}.json")
    yield home
    operator.settings = before


def point(home: Home, *urls: str, signer: str = SIGNER.address) -> None:
    home.names.do("setGateway", home.names.node, list(urls), signer, by=home.names.owner)


def test_the_operator_s_gateway_says_the_newest(gated: Home) -> None:
    result = gated.verify("--json", *LOCAL)
    assert result.exit_code == 0, result.output
    pointer = json.loads(result.stdout)["pointer"]
    with gated.world.operator.store.reading() as session:
        newest = checkpoints.newest(session)
    assert newest is not None
    assert (pointer["size"], pointer["sha256"]) == (str(newest.size), None)
    assert newest.size == gated.size


def test_a_gateway_of_the_user_s_own_is_asked_instead(gated: Home) -> None:
    point(gated, "https://127.0.0.1:9/{sender}/{data}.json")
    gated.undecided("no public address", "--allow-host", "example.org")
    own = f"{gated.server.url}/v1/ens/{{sender}}/{{data}}.json"
    assert gated.verify("--gateway", own, *LOCAL).exit_code == 0


def test_a_gateway_that_signs_by_another_key_is_not_believed(gated: Home) -> None:
    other = Account.from_key("0x" + "53" * 32)
    point(gated, f"{gated.server.url}/v1/ens/{{sender}}/{{data}}.json", signer=other.address)
    gated.fails(
        "name", "AnswerRefused: fund.example: the resolver does not accept the gateway's answer: AnswerNotSigned"
    )


def test_an_answer_that_is_over_is_not_believed(gated: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomic_margin.service.pointer.gateway.time.time", lambda: 1_000_000)
    gated.fails("name", "AnswerExpired")


def test_an_answer_to_another_question_is_not_believed(gated: Home) -> None:
    """The gateway gives the signed bundle's address where the checkpoint is asked for."""
    asked = POINTER + encode(["bytes32", "string"], [gated.names.node, "atomic-margin.bundle"])
    gateway = gated.world.operator.settings.ens_gateway
    assert gateway is not None
    replayed = gateway.answer(gated.names.resolver.address, f"0x{asked.hex()}", lambda: None)
    gated.files.found["/replay"] = json.dumps({"data": replayed}).encode()
    point(gated, f"{gated.files.url}/replay?{{data}}")
    gated.files.found = {f"/replay?0x{call_.hex()}": gated.files.found["/replay"] for call_ in calls(gated)}
    gated.fails("name", "AnswerNotSigned")


def calls(home: Home) -> list[bytes]:
    """What a resolver asks a gateway about every record."""
    keys = [f"atomic-margin.{key}" for key in ("checkpoint", "bundle", "tiles")] + ["contenthash"]
    return [POINTER + encode(["bytes32", "string"], [home.names.node, key]) for key in keys]


@pytest.mark.long
def test_hostile_gateways(gated: Home) -> None:
    files = gated.files

    def redirecting(to: str) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(302)
            request.send_header("Location", to)
            request.end_headers()

        return answer

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x" * 10_000)

    for answer, said in (
        (redirecting("https://gateway.example/"), "which is not followed"),
        (redirecting("http://10.0.0.1/"), "which is not followed"),
        (redirecting("http://localhost/"), "which is not followed"),
        (redirecting("/gateway?again"), "leads on and on"),
        (endless, "with more than 65536 bytes"),
        (b"[" * 60_000, "is no JSON"),
        (b"{}", "has no `data` in hex"),
        (b'{"data": "0x1"}', "has no `data` in hex"),
        (b'{"data": 7}', "has no `data` in hex"),
    ):
        files.found = {f"/gateway?0x{call_.hex()}": answer for call_ in calls(gated)} | {"/gateway?again": answer}
        point(gated, f"{files.url}/gateway?{{data}}")
        gated.undecided(said)
    files.found = {"/gateway": redirecting("/other")}
    point(gated, f"{files.url}/gateway")
    gated.undecided("sends what was posted to it elsewhere")
    for url in ("https://10.1.2.3/{data}", "http://example.org/{data}", "ftp://example.org/{data}", "{data}"):
        point(gated, url)
        gated.undecided("is not followed")


def test_a_gateway_without_data_in_its_address_is_asked_by_post(gated: Home) -> None:
    gateway = gated.world.operator.settings.ens_gateway
    assert gateway is not None

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        body = gateway.answer(asked["sender"], asked["data"], lambda: gated.checkpoint(gated.size))
        request.send_response(200)
        request.end_headers()
        request.wfile.write(json.dumps({"data": body, "more": 7}).encode())

    gated.files.found["/gateway"] = answer
    point(gated, f"{gated.files.url}/gateway")
    result = gated.verify()
    assert result.exit_code == 0, result.output


def test_gateways_are_tried_in_turn_but_not_after_a_no(gated: Home) -> None:
    good = f"{gated.server.url}/v1/ens/{{sender}}/{{data}}.json"

    def failing(request: BaseHTTPRequestHandler) -> None:
        request.send_response(503)
        request.send_header("Content-Length", "0")
        request.end_headers()

    gated.files.found |= {f"/broken/0x{call_.hex()}": failing for call_ in calls(gated)}
    point(gated, f"{gated.files.url}/broken/{{data}}", good)
    assert gated.verify().exit_code == 0
    point(gated, f"{gated.files.url}/missing/{{data}}", good)
    gated.undecided("answers with status 404")


def test_the_gateway_answers_nothing_else(gated: Home) -> None:
    (checkpoint, *_), resolver = calls(gated), gated.names.resolver.address
    good = f"{gated.server.url}/v1/ens/{resolver}/0x{checkpoint.hex()}.json"
    answer = httpx.get(good)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    # Signed once for all that ask meanwhile.
    assert httpx.get(good).json() == answer.json()
    other_name = checkpoint[:4] + b"\x01" * 32 + checkpoint[36:]
    wrong = [
        f"0x{'12' * 20}/0x{checkpoint.hex()}",
        f"{resolver}/0x{checkpoint[:-1].hex()}",
        f"{resolver}/0x{other_name.hex()}",
        f"{resolver}/0x{(b'abcd' + checkpoint[4:]).hex()}",
        f"{resolver}/0x",
        f"{resolver}/0x{'00' * 300}",
        f"{resolver}/zz",
    ]
    for path in wrong:
        status = httpx.get(f"{gated.server.url}/v1/ens/{path}.json").status_code
        assert status in (400, 404, 422), path
    settings = gated.world.operator.settings
    gated.world.operator.settings = dataclasses.replace(settings, ens_gateway=None)
    assert httpx.get(good).status_code == 404
    gated.world.operator.settings = settings
