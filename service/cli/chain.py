"""`atomic-margin chain`: put the contracts of a vault on a chain, and look at one that is there."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import err, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError

if TYPE_CHECKING:
    from web3 import Web3

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Contracts of a vault that checks the proofs itself (docs/chain.md).",
)

Rpc = Annotated[str, typer.Option(help="URL of a node.")]
SECONDS = 30
DEFAULT_RUN_SECONDS = 86_400


@app.command()
def deploy(
    rpc: Rpc,
    keystore: Annotated[Path, typer.Option(help="Key that pays for it; it has no rights in the contracts.")],
    password_file: Annotated[Path, typer.Option(help="The keystore's password, on one line.")],
    token: Annotated[str, typer.Option(help="Address of the ERC-20 that the vault holds.")],
    asset: Annotated[str, typer.Option(help="What it is in the collateral schedule, in the same smallest units.")],
    signer: Annotated[list[str], typer.Option(help="Address of a signer of the oracle; repeatable, 16 at most.")],
    threshold: Annotated[int, typer.Option(help="How many of them have to sign: more than half.", min=1)],
    operator: Annotated[str, typer.Option(help="Address that opens runs: the rail's sender.")],
    guardian: Annotated[str, typer.Option(help="Address that may pause everything.")],
    waterfall: Annotated[str, typer.Option(help="Address that receives what a liquidation takes.")],
    block_cap: Annotated[int, typer.Option(help="Most of the token that settles in a block, or one account holds.")],
    out: Annotated[Path, typer.Option(help="The addresses file to write.")],
    run_seconds: Annotated[
        int, typer.Option(help="How long a run locks an account at most.", min=60, max=7 * 86_400)
    ] = DEFAULT_RUN_SECONDS,
    verifier: Annotated[str | None, typer.Option(help="A MarginVerifier that is there, instead of a new one.")] = None,
) -> None:
    """Deploy vault, oracle and verifier, and write their addresses; compare them with what others deployed or see.

        atomic-margin chain deploy --rpc http://127.0.0.1:8545 --keystore payer.keystore --password-file payer.password
            --token 0x... --asset USDC --signer 0x... --signer 0x... --signer 0x... --threshold 2 --operator 0x...
            --guardian 0x... --waterfall 0x... --block-cap 100000000000000 --out addresses.json

    Nobody owns what is deployed, and nothing in it can be changed but the oracle's signers, by k of themselves. The
    verifier takes 48.6 million gas in ten transactions; the block it began in is printed, for the rail file.

    Exit status 0: deployed. 2: not, or not all of it; what is there already is harmless.
    """
    needs_extras("chain deploy", "chain")
    from atomic_margin.contracts.addresses import checked_address
    from atomic_margin.contracts.deploy import VaultRoles, deploy_vault
    from atomic_margin.contracts.errors import ContractsError

    with plain_errors():
        if out.exists():
            raise ConfigurationError(f"{out} is there already: name another file, or move it away")
        try:
            roles = VaultRoles(
                checked_address(operator, "--operator"),
                checked_address(guardian, "--guardian"),
                checked_address(waterfall, "--waterfall"),
                block_cap,
                run_seconds,
            )
            made = deploy_vault(
                web3 := _signing(rpc, keystore, password_file),
                cast(Any, web3.eth.default_account),
                token=checked_address(token, "--token"),
                asset=asset,
                signers=[checked_address(one, "--signer") for one in signer],
                threshold=threshold,
                roles=roles,
                verifier=None if verifier is None else checked_address(verifier, "--verifier"),
                said=lambda text: err.print(text, soft_wrap=True, highlight=False),
            )
        except ContractsError as error:
            raise ConfigurationError(str(error)) from error
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the node at {rpc} does not do it: {error}"[:500]) from error
        out.write_text(made.addresses.to_json())
        print_json({**json.loads(made.addresses.to_json()), "first_block": str(made.first_block)})


@app.command()
def show(
    rpc: Rpc,
    addresses: Annotated[Path, typer.Option(help="The addresses file.")],
    account: Annotated[list[str] | None, typer.Option(help="Address of an account to show; repeatable.")] = None,
) -> None:
    """Show what the contracts of an addresses file say: settings, signers, accounts. Compare it before you rely on it.

        atomic-margin chain show --rpc http://127.0.0.1:8545 --addresses addresses.json --account 0x...

    Exit status 0: shown. 2: the node does not answer, is on another chain, or the contracts do not go together.
    """
    needs_extras("chain show", "chain")
    from web3 import HTTPProvider, Web3

    from atomic_margin.contracts.addresses import ChainAddresses, checked_address
    from atomic_margin.contracts.errors import ContractsError
    from atomic_margin.contracts.shown import shown_account, shown_vault

    with plain_errors():
        web3 = Web3(HTTPProvider(rpc, request_kwargs={"timeout": SECONDS}))
        try:
            named = ChainAddresses.load(addresses)
            found = shown_vault(web3, named)
            if account:
                found["accounts"] = [shown_account(web3, named, checked_address(one, "--account")) for one in account]
        except ContractsError as error:
            raise ConfigurationError(str(error)) from error
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the node at {rpc} does not answer: {error}"[:500]) from error
        print_json(found)


def _signing(rpc: str, keystore: Path, password_file: Path) -> "Web3":
    """Return a connection that signs for the key of a keystore.

    Raises:
        ContractsError: it does not open.
    """
    from web3 import HTTPProvider, Web3
    from web3.middleware import SignAndSendRawMiddlewareBuilder

    from atomic_margin.contracts.keystore import load_key

    key = load_key(keystore, password_file)
    web3 = Web3(HTTPProvider(rpc, request_kwargs={"timeout": SECONDS}))
    web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(key), layer=0)
    web3.eth.default_account = key.address
    return web3
