"""`institution register-book`: make a book the one that a vault on a chain settles."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from atomic_margin.service.cli import tls
from atomic_margin.service.cli.agent_calls import Directory
from atomic_margin.service.cli.configuration import ConfigFile, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import err, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError, RemoteError
from atomic_margin.service.files import read_document
from atomic_margin.service.protocol.trust import TrustFile

if TYPE_CHECKING:
    from atomic_margin.contracts.collect import Collected

SECONDS = 60
DEFAULT_EXPIRY_SECONDS = 3600
GAS = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("register-book", cls=configured("institution"))(register_book)


def register_book(
    directory: Directory,
    operator: Annotated[str, typer.Option(help="Address of the operator's server.")],
    trust: Annotated[Path, typer.Option(help="Pinned operator, price rules and terms; see `atomic-margin trust`.")],
    rpc: Annotated[str, typer.Option(help="URL of a node of the chain.")],
    addresses: Annotated[Path, typer.Option(help="The vault's addresses file.")],
    signer: Annotated[list[str], typer.Option(help="URL of a signer of the oracle; repeatable, enough of them.")],
    keystore: Annotated[Path, typer.Option(help="Key of your account in the vault, encrypted.")],
    password_file: Annotated[Path, typer.Option(help="The keystore's password, on one line.")],
    expiry_seconds: Annotated[
        int, typer.Option(help="How long what signers sign counts.", min=60, max=86_400)
    ] = DEFAULT_EXPIRY_SECONDS,
    ca: tls.Authorities = None,
    config: ConfigFile = None,
) -> None:
    """Register your newest book in the vault, after its signers have verified it.

        atomic-margin institution register-book --dir institution-data --operator https://operator.example
            --trust trust.json --rpc http://127.0.0.1:8545 --addresses addresses.json --signer https://one.example
            --signer https://two.example --keystore vault.keystore --password-file vault.password

    The signers see what the operator sees: commitments, proofs and ciphertexts, no position. Your identity key signs
    that the account is yours, and the account's key sends the book to the vault, which takes it between runs. Do it
    after every submission: a run on a book that is not registered cannot be settled there.

    Exit status 0: registered, or it was before. 2: it was not.
    """
    needs_extras("institution register-book", "fhe", "service", "chain")
    import httpx
    from web3 import HTTPProvider, Web3
    from web3.exceptions import Web3Exception
    from web3.middleware import SignAndSendRawMiddlewareBuilder

    from atomic_margin.contracts.addresses import ChainAddresses
    from atomic_margin.contracts.artifact import load_artifact
    from atomic_margin.contracts.errors import ContractsError
    from atomic_margin.contracts.keystore import load_key
    from atomic_margin.contracts.reverts import revert_of
    from atomic_margin.service.http.tls import trusting
    from atomic_margin.service.institution.registration import TERMS, Place, book_hash, registration_request

    with plain_errors():
        pins = read_document(trust, TrustFile.parse)
        try:
            place, key = ChainAddresses.load(addresses), load_key(keystore, password_file)
            web3 = Web3(HTTPProvider(rpc, request_kwargs={"timeout": SECONDS}))
            web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(key), layer=0)
            vault = web3.eth.contract(address=cast(Any, place.vault), abi=load_artifact("Vault").abi)
            account = vault.functions.accountOf(key.address).call()
            with httpx.Client(base_url=operator, timeout=SECONDS, verify=trusting(ca)) as client:
                terms = {name: client.get(f"/v1/terms/{name}").raise_for_status().json() for name in TERMS}
            expiry = int(web3.eth.get_block("latest")["timestamp"]) + expiry_seconds
            own = Place(place.chain, place.vault, key.address)
            request = registration_request(directory, pins, terms, own, int(account[4]) + 1, expiry)
            if book_hash(request) == bytes(account[2]):
                print_json({"account": key.address, "registered": True, "transaction": None})
                return
            err.print(f"asking {len(signer)} signers to verify the book", highlight=False)
            collected = _collected(web3, place, signer, request)
            given = collected.signatures
            call = vault.functions.registerPortfolio(collected.message, given[0], given)
            sent = call.transact({"from": key.address, "gas": GAS})
            receipt = web3.eth.wait_for_transaction_receipt(sent, timeout=SECONDS)
            if receipt["status"] != 1:
                raise ConfigurationError(f"transaction {sent.to_0x_hex()} was reverted: run it once more")
        except ContractsError as error:
            raise ConfigurationError(str(error)) from error
        except httpx.HTTPError as error:
            raise RemoteError(f"the operator at {operator} does not answer: {error}; give its address") from error
        except (Web3Exception, OSError, ValueError) as error:
            revert = revert_of(error)
            why = f"the vault refuses: {revert}" if revert is not None else f"the node at {rpc}: {error}"
            raise RemoteError(why[:500]) from error
    print_json(
        {
            "account": key.address,
            "commitments": "0x" + book_hash(request).hex(),
            "registered": True,
            "transaction": sent.to_0x_hex(),
        }
    )


def _collected(web3: Any, place: Any, signers: list[str], request: dict[str, Any]) -> "Collected":
    from atomic_margin.contracts.collect import SignerSet, collect

    believed = SignerSet.read(web3, place.oracle)
    return collect(signers, request, believed.threshold, believed)
