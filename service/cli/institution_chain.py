"""The command of `atomic-margin institution` that registers its book in a vault on a chain."""

from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.service.cli import tls
from atomic_margin.service.cli.agent_calls import Directory
from atomic_margin.service.cli.configuration import ConfigFile, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("register-book", cls=configured("institution"))(register_book)


def register_book(
    directory: Directory,
    operator: Annotated[str, typer.Option(help="Address of the operator's server, for its published terms.")],
    addresses: Annotated[Path, typer.Option(help="Addresses of chain, vault, oracle, verifier and token, as JSON.")],
    keystore: Annotated[
        Path, typer.Option(help="Key of the account in the vault, in a keystore file that its owner alone may read.")
    ],
    rpc: Annotated[str, typer.Option(help="Address of a node of the chain, the institution's own.")],
    signer: Annotated[list[str], typer.Option(help="Address of one of the oracle's signers; repeatable.")],
    password_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the keystore's password, that its owner alone may read.", show_default="asked for"
        ),
    ] = None,
    ca: tls.Authorities = None,
    config: ConfigFile = None,
) -> None:
    """Make the book in force the account's in a vault: signers verify its proofs, then the account's key sends it.

    The identity key signs that the account is the institution's, and signers are shown that, the submission and its
    enrolment. Do it for every book that came, before the next run; the vault takes none while a run is open. The agent
    may run meanwhile.
    """
    needs_extras("institution register-book", "service", "chain")
    import httpx
    from requests import Session
    from web3 import Web3

    from atomic_margin.contracts import registration
    from atomic_margin.contracts.addresses import ChainAddresses
    from atomic_margin.contracts.keystore import load_key
    from atomic_margin.service.http.tls import trusting
    from atomic_margin.service.institution.client import OperatorClient
    from atomic_margin.service.institution.registering import book_in_force
    from atomic_margin.service.protocol.signing import Identity

    with plain_errors():
        if not (directory / "identity.key").is_file():
            raise ConfigurationError(f"{directory / 'identity.key'} is not there; --dir is the agent's folder")
        place, book = ChainAddresses.load(addresses), book_in_force(directory)
        key = load_key(keystore, password_file, lambda: str(typer.prompt(f"Password of {keystore}", hide_input=True)))
        client = OperatorClient(operator, book.public.institution, httpx.Auth(), verify=trusting(ca))

        def terms(name: str) -> Any:
            return client.terms(name) if name in ("model", "schedule") else client.universe(name)

        identity = Identity.load_or_create(directory / "identity.key")
        request = book.request(identity, terms, place.chain, place.vault, key.address)
        with Session() as session:
            web3 = Web3(Web3.HTTPProvider(rpc, request_kwargs={"timeout": registration.CALL_SECONDS}, session=session))
            sent = registration.register_book(web3, place, key, book.commitments, request, signer)
        client.close()
        print_json({"transaction": sent, "account": key.address, "commitments": "0x" + book.commitments.hex()})
