"""`atomic-margin signer`: attest for a vault on a chain what was verified here."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atomic_margin.service.cli import log_options, signer_folder
from atomic_margin.service.cli.configuration import DEFAULT_PORTS, ConfigFile, addressed, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.cli.tls import trusted
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_document
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.logs import LogFormat, LogLevel
from atomic_margin.service.protocol.trust import TrustFile

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

TIMEOUT_SECONDS = 60

app = typer.Typer(
    cls=addressed("signer", "address"),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Attest for a vault on a chain what was verified here.",
)
app.command()(signer_folder.init)

Folder = Annotated[Path, typer.Option("--dir", help="Journal of this signer; made if absent.")]
Keystore = Annotated[Path, typer.Option(help="Its key, in a keystore file that its owner alone may read.")]
Password = Annotated[
    Path | None,
    typer.Option(help="File with the keystore's password, that its owner alone may read.", show_default="asked for"),
]
Rpc = Annotated[str, typer.Option(help="Address of a node of the chain, the signer's own and not the operator's.")]
Addresses = Annotated[Path, typer.Option(help="Addresses of chain, vault, oracle, verifier and token, as JSON.")]


@app.command(cls=configured("signer"))
def serve(
    directory: Folder,
    keystore: Keystore,
    trust: Annotated[
        Path, typer.Option(help="Operator, price rules, institutions, terms and log that it trusts, as a verifier has.")
    ],
    rpc: Rpc,
    addresses: Addresses,
    password_file: Password = None,
    decimals: Annotated[
        int | None, typer.Option(min=0, max=36, help="Of the token, where it does not say them itself.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = DEFAULT_PORTS["signer"],
    log_format: log_options.Format = LogFormat.TEXT,
    log_level: log_options.Level = LogLevel.INFO,
    debug: log_options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Verify what is asked about runs and books, and sign for the vault what holds. It signs nothing else.

    The journal in DIR must never be reset to an older state: a signer that forgot would sign two messages about one
    run. docs/signer.md says what is checked.
    """
    needs_extras("signer serve", "service", "chain")
    from atomic_margin.contracts.addresses import ChainAddresses
    from atomic_margin.service.http.serving import listen, port_of, warn_exposed
    from atomic_margin.service.http.serving import serve as serve_app
    from atomic_margin.service.signer.signer import Signer
    from atomic_margin.service.signer.vault import VaultReader
    from atomic_margin.service.signer.web import LIMITS, create_app

    log_options.begin(log_format, log_level, debug)
    with plain_errors():
        listener = listen(host, port)
        anchors = read_document(trust, TrustFile.parse)
        reader = VaultReader.by_url(rpc, ChainAddresses.load(addresses))
        party = Signer(directory, _key(keystore, password_file), anchors, reader, decimals)
    where = f"{host}:{port_of(listener)}"
    vault = party.place.addresses.vault
    out.print(f"signer {party.address} on {where}, for vault {vault}", soft_wrap=True, highlight=False)
    sys.stdout.flush()
    warn_exposed(host, tls=False)
    serve_app(create_app(party), listener, LIMITS)
    party.close()


@app.command(cls=configured("signer"))
def register(
    keystore: Keystore,
    rpc: Rpc,
    addresses: Addresses,
    password_file: Password = None,
    config: ConfigFile = None,
) -> None:
    """Print what those need that put this signer into the oracle's set, and whether it is in it.

    An oracle is deployed with its first set; later sets k of the signers in force sign (`MatrixOracle.rotate`). The
    signature shows that whoever asks has the key; it is of a text, and counts on no chain.
    """
    needs_extras("signer register", "chain")
    from atomic_margin.contracts.addresses import ChainAddresses
    from atomic_margin.contracts.signatures import possession
    from atomic_margin.service.signer.vault import VaultReader

    with plain_errors():
        place, key = ChainAddresses.load(addresses), _key(keystore, password_file)
        with closing(VaultReader.by_url(rpc, place)) as reader:
            reader.check()
            moment = reader.moment(key.address)
        text, signature = possession(key, chain=place.chain, oracle=place.oracle)
        print_json(
            {
                "signer": key.address,
                "chain": str(place.chain),
                "oracle": place.oracle,
                "signer_set": str(moment.signer_set),
                "counted": moment.counted,
                "text": text,
                "signature": signature,
            }
        )


@app.command()
def status(
    address: Annotated[
        str, typer.Option("--signer", help="Address of the signer.")
    ] = f"http://127.0.0.1:{DEFAULT_PORTS['signer']}",
) -> None:
    """Print who signs, for which vault, and what was signed and refused last."""
    needs_extras("signer status", "service")
    import httpx

    from atomic_margin.service.signer.messages import SignerStatus

    with plain_errors():
        url = f"{address.rstrip('/')}/status"
        try:
            response = httpx.get(url, timeout=TIMEOUT_SECONDS, verify=trusted())
            response.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(
                f"the signer does not answer at {url}: {error}; start it with `atomic-margin signer serve`, or give "
                "its address with --signer"
            ) from error
        print_json(SignerStatus.parse(parse_json(response.content, url)).to_json())


def _key(keystore: Path, password_file: Path | None) -> "LocalAccount":
    from atomic_margin.contracts.keystore import load_key

    return load_key(keystore, password_file, lambda: str(typer.prompt(f"Password of {keystore}", hide_input=True)))
