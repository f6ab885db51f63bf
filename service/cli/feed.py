"""`atomic-margin feed`: keys of a price feed, and signed ticks."""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.margin.market import Market
from atomic_margin.service.cli.output import plain_errors, print_json, read_json
from atomic_margin.service.signing import Identity

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="The price feed's side.",
)

KeyFile = Annotated[Path, typer.Option("--key", help="The feed's Ed25519 key file; made if absent.")]


@app.command()
def key(path: KeyFile) -> None:
    """Make the feed's key if need be, and print its public half."""
    with plain_errors():
        print_json({"feed": Identity.load_or_create(path).public_key})


@app.command()
def sign(
    market: Annotated[Path, typer.Argument(help="A market document; examples/market-1.json is one.")], path: KeyFile
) -> None:
    """Check a market document, sign it, and print the tick to send to the operator (POST /v1/ticks)."""
    with plain_errors():
        document = Market.parse(read_json(market)).canonical()
        if not isinstance(document, dict):
            raise TypeError("a market is a JSON object")
        print_json(Identity.load_or_create(path).sign("tick", document).to_json())
