"""`atomic-margin operator pointer`: publish, under an ENS name, which log it is, how far it is, where a bundle is.

Transactions are signed here, by a key from an encrypted keystore; its password comes from a file or is asked for.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.operator_lists import DEFAULT_OPERATOR
from atomic_margin.service.cli.output import fail, plain_errors, print_json
from atomic_margin.service.cli.pointer_options import AllowedHosts, GatewayAddress, Registry, Rpc, resolver_of, route_of
from atomic_margin.service.cli.tls import trusted
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import MAX_FILE_BYTES, read_json, read_text
from atomic_margin.service.log.checkpoints import Checkpoint
from atomic_margin.service.log.errors import LogError
from atomic_margin.service.log.notes import ED25519, MAX_NOTE_BYTES, NoteKey
from atomic_margin.service.pointer.downloads import Downloads
from atomic_margin.service.pointer.errors import PublishRefused
from atomic_margin.service.pointer.lookups import ENS_REGISTRY, Resolver
from atomic_margin.service.pointer.records import RAW_SHA256
from atomic_margin.service.protocol.evidence import Evidence

if TYPE_CHECKING:
    from atomic_margin.service.pointer.publish import Published

app = typer.Typer(no_args_is_help=True, help="The operator's ENS name: its log, its checkpoint, where its bundle is.")

Name = Annotated[str, typer.Argument(help="The ENS name, as in fund.example.eth.")]
Keystore = Annotated[Path, typer.Option("--keystore", help="Encrypted key file of whoever signs and pays.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", help="Its password, in the first line; it is asked for otherwise.")
]


@app.command()
def own(
    name: Name,
    keystore: Keystore,
    rpc: Rpc = None,
    registry: Registry = ENS_REGISTRY,
    password_file: PasswordFile = None,
    log: Annotated[str | None, typer.Option(help="Key of the log, as `serve` prints it.")] = None,
    publisher: Annotated[str | None, typer.Option(help="Address of the key that publishes from then on.")] = None,
    gateway: Annotated[
        list[str] | None,
        typer.Option(help="Address of a gateway, with {sender} and {data}; repeatable, with --gateway-signer."),
    ] = None,
    gateway_signer: Annotated[str | None, typer.Option(help="Address of the key that signs for it.")] = None,
    no_gateway: Annotated[bool, typer.Option("--no-gateway", help="Publish on the chain again.")] = False,
) -> None:
    """Say what only the owner of a name may say: which log it is of, who publishes, which gateway answers.

        atomic-margin operator pointer own fund.example.eth --rpc URL --keystore owner.json --log KEY --publisher KEY

    Another log removes what was published of the one before. Each option is a transaction of its own.

    Exit status 0: all of it is mined. 2: something is not, and the sentence says why.
    """
    needs_extras("operator pointer own", "chain")
    with plain_errors():
        calls: list[tuple[str, tuple[Any, ...]]] = []
        if log is not None:
            calls.append(("setLog", (_log_key(log),)))
        if publisher is not None:
            calls.append(("setPublisher", (_account(publisher, "--publisher"),)))
        if (gateway or gateway_signer) and (no_gateway or not gateway or gateway_signer is None):
            raise ConfigurationError("--gateway and --gateway-signer go together, and without --no-gateway")
        if gateway and gateway_signer is not None:
            calls.append(("setGateway", (gateway, _account(gateway_signer, "--gateway-signer"))))
        if no_gateway:
            calls.append(("setGateway", ([], f"0x{'00' * 20}")))
        if not calls:
            raise ConfigurationError("say what is to be set: --log, --publisher, --gateway or --no-gateway")
        downloads = Downloads(trusted=trusted)
        _send_all(name, rpc, registry, keystore, password_file, downloads, None, lambda _: calls)


@app.command()
def publish(
    name: Name,
    keystore: Keystore,
    rpc: Rpc = None,
    registry: Registry = ENS_REGISTRY,
    password_file: PasswordFile = None,
    bundle: Annotated[str | None, typer.Option(help="Address at which the bundle is; without it, as before.")] = None,
    bundle_file: Annotated[
        Path | None, typer.Option(help="The very file that is there: its hash is published, and its checkpoint held.")
    ] = None,
    tiles: Annotated[str, typer.Option(help="Address under which v1/log/tile/ is served.")] = "",
    checkpoint: Annotated[
        Path | None, typer.Option(help="The checkpoint as a file; by default the newest one of --operator.")
    ] = None,
    operator: Annotated[str, typer.Option("--operator", help="Address of the operator's server.")] = DEFAULT_OPERATOR,
    gateway: GatewayAddress = None,
    allow_host: AllowedHosts = None,
) -> None:
    """Publish the newest checkpoint of the log under a name, and where a bundle is.

        atomic-margin operator pointer publish fund.example.eth --rpc URL --keystore publisher.json --bundle ADDRESS
        atomic-margin operator pointer publish fund.example.eth --rpc URL --keystore publisher.json

    The second form publishes a newer checkpoint alone. A name does not go back: a smaller checkpoint is refused here.

    Exit status 0: it is mined. 2: it is not, and the sentence says why.
    """
    needs_extras("operator pointer publish", "chain")
    with plain_errors():
        if bundle is None and (bundle_file is not None or tiles):
            raise ConfigurationError("--bundle-file and --tiles go with --bundle")
        downloads = Downloads(route_of(allow_host), trusted)
        note = _note(checkpoint, operator, downloads)

        def calls(resolver: Resolver) -> list[tuple[str, tuple[Any, ...]]]:
            from atomic_margin.service.pointer.publish import newer_checkpoint, require_lengths

            new = newer_checkpoint(resolver, note)
            if bundle is None:
                return [("publishCheckpoint", (note,))]
            require_lengths(bundle, tiles)
            hash_ = b"" if bundle_file is None else _hash_of(bundle_file, new)
            return [("publish", (note, bundle, tiles, hash_))]

        _send_all(name, rpc, registry, keystore, password_file, downloads, gateway, calls)


def _send_all(
    name: str,
    rpc: str | None,
    registry: str,
    keystore: Path,
    password_file: Path | None,
    downloads: Downloads,
    gateway: str | None,
    calls: Callable[[Resolver], list[tuple[str, tuple[Any, ...]]]],
) -> None:
    """Find the name's resolver, open the key, and carry out every call about the name, one by one."""
    from atomic_margin.service.pointer.keystore import load_account
    from atomic_margin.service.pointer.publish import send

    resolver = resolver_of(name, rpc, registry, gateway, downloads)
    wanted = calls(resolver)
    account = load_account(keystore, password_file)
    mined: dict[str, Published] = {}
    for function, arguments in wanted:
        mined[function] = send(str(rpc), account, resolver.address, function, resolver.name.node, *arguments)
    print_json(
        {
            "name": resolver.name.text,
            "resolver": resolver.address,
            "chain": str(resolver.chain.number),
            "sent_by": account.address,
            "transactions": {
                function: {"transaction": one.transaction, "block": str(one.block), "gas": str(one.gas)}
                for function, one in mined.items()
            },
        }
    )


def _note(checkpoint: Path | None, operator: str, downloads: Downloads) -> str:
    if checkpoint is not None:
        return read_text(checkpoint, limit=MAX_NOTE_BYTES)
    data = downloads.get(f"{operator.rstrip('/')}/v1/log/checkpoint", MAX_NOTE_BYTES, own=True)
    try:
        return data.decode()
    except UnicodeDecodeError:
        fail(f"{operator} serves a checkpoint that is no text: is it an operator?")


def _hash_of(bundle: Path, checkpoint: Checkpoint) -> bytes:
    """Return the content hash of a bundle that shows its entries, in a checkpoint that holds them."""
    value = read_json(bundle)
    try:
        evidence = Evidence.parse(value.get("log") if isinstance(value, dict) else None)
        newest = max(leaf.index for leaf in evidence.leaves)
    except DocumentsError as error:
        raise PublishRefused(f"{bundle} does not show its entries in the log ({error}): fetch it again") from None
    if newest >= checkpoint.head.size:
        raise PublishRefused(
            f"{bundle} rests on entry {newest} of the log, and the checkpoint is of {checkpoint.head.size}: publish a "
            "newer one"
        )
    data = bundle.read_bytes()
    if len(data) > MAX_FILE_BYTES:
        raise PublishRefused(f"{bundle} has more than {MAX_FILE_BYTES} bytes, which nobody would fetch")
    return RAW_SHA256 + hashlib.sha256(data).digest()


def _log_key(text: str) -> str:
    try:
        key = NoteKey.parse(text)
    except LogError as error:
        raise ConfigurationError(f"--log: {error}") from None
    if key.type != ED25519:
        raise ConfigurationError("--log is the key of a witness, one of a log is wanted")
    return text


def _account(text: str, option: str) -> str:
    from eth_utils.address import is_address, to_checksum_address

    if not is_address(text):
        raise ConfigurationError(f"{option} is an address of 0x and 40 hex digits, got {text[:80]!r}")
    return to_checksum_address(text)
