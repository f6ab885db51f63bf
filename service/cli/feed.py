"""`atomic-margin feed`: price rules, keys of sources, signed prices, and the set of them that makes a tick."""

from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomic_margin.margin.market.market import Market
from atomic_margin.service.cli import tls
from atomic_margin.service.cli.configuration import ConfigFile, SourceFolder, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.feed_signing import (
    KeyFile,
    MemoryFile,
    OperatorUrl,
    RulesFile,
    post_prices,
    signed_once,
    tick,
)
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.feed.combine import combine
from atomic_margin.service.feed.source import DocumentSource, price_set
from atomic_margin.service.files import read_document, read_json
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.rule_changes import NewRules
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import Place, Price

if TYPE_CHECKING:
    from atomic_margin.service.feed.chainlink import Aggregator

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="The price sources' side.",
)

tls.take_authorities(app)


@app.command()
def key(path: KeyFile) -> None:
    """Make the source's key if need be, and print its public half."""
    with plain_errors():
        print_json({"source": Identity.load_or_create(path).public_key})


@app.command()
def rules(
    source: Annotated[list[str], typer.Option(help="Public key of a price source, in hex; repeatable.")],
    required: Annotated[int, typer.Option(help="Sources that must agree: more than half of them.")],
    max_age: Annotated[
        str,
        typer.Option(
            metavar="SECONDS|unbounded",
            help="How old prices may be when they arrive, by the operator's clock; unbounded for a history that is "
            "played back.",
        ),
    ],
    max_skew: Annotated[int, typer.Option(help="Seconds a source's time may be from the median time.")] = 60,
    outlier: Annotated[
        tuple[str, str, str],
        typer.Option(help="Bounds of a source against the median: price (relative), volatility, rate (absolute)."),
    ] = ("0.02", "0.05", "0.01"),
    move: Annotated[
        tuple[str, str, str], typer.Option(help="The same bounds for one tick against the tick before.")
    ] = ("0.5", "1", "0.05"),
    confirm_after: Annotated[
        int | None,
        typer.Option(
            help="Seconds after which sources confirm prices beyond --move, which are staged until then; without it "
            "such prices are refused, and a crash beyond the bound stops the ticks.",
        ),
    ] = None,
) -> None:
    """Print price rules: whose prices count, how many must agree, within which bounds."""
    names = ("price", "volatility", "rate")
    document: dict[str, Any] = {
        "format": "atomic-margin/price-rules/1",
        # One order, so that the same rules have the same hash whoever writes them.
        "sources": sorted(source),
        "required": str(required),
        "max_skew_seconds": str(max_skew),
        "max_age_seconds": max_age,
        "outlier": dict(zip(names, outlier, strict=True)),
        "move": dict(zip(names, move, strict=True)),
    }
    if confirm_after is not None:
        document["confirm_after_seconds"] = str(confirm_after)
    with plain_errors():
        print_json(PriceRules.parse(document).canonical())


@app.command(cls=configured("source"))
def sign(
    market: Annotated[Path, typer.Argument(help="A market document; examples/market-1.json is one.")],
    path: KeyFile,
    price_rules: RulesFile,
    operator: OperatorUrl,
    memory: MemoryFile = None,
    directory: SourceFolder = None,
    config: ConfigFile = None,
) -> None:
    """Check a market document, sign it as a source for the operator's next tick, and print the signed prices.

        atomic-margin feed sign market.json --key source.key --price-rules price-rules.json --operator URL

    The market gets the number of the next tick, and what is signed names the tick before and the rules. A source signs
    one document for a number: the same is printed again, another is refused. Exit status 2: nothing is signed, with
    the reason.
    """
    needs_extras("feed sign", "service")
    with plain_errors():
        source = DocumentSource(Identity.load_or_create(path), read_document(market, Market.parse))
        print_json(signed_once(source, memory, path, read_document(price_rules, PriceRules.parse), operator).to_json())


@app.command()
def chainlink(
    base: Annotated[Path, typer.Argument(help="A market document, for what no aggregator has.")],
    path: KeyFile,
    rpc: Annotated[str, typer.Option(help="Address of an Ethereum node's JSON-RPC.")],
    aggregator: Annotated[
        list[str], typer.Option(help="PATH=ADDRESS,SECONDS: the price it replaces, the contract, its heartbeat.")
    ],
    price_rules: RulesFile,
    operator: OperatorUrl,
    memory: MemoryFile = None,
    now: Annotated[bool, typer.Option("--now", help="Sign under the present time, not under the base's.")] = False,
    block: Annotated[str | None, typer.Option(help="Block to read at, in hex.", show_default="the newest")] = None,
) -> None:
    """Read prices from on-chain aggregators of the Chainlink kind, sign them for the next tick, and print them.

        atomic-margin feed chainlink base.json --key source.key --rpc http://127.0.0.1:8545
        --aggregator underlyings.BTC.spot=0xb7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7b7,3600
        --price-rules price-rules.json --operator URL

    An answer older than its heartbeat at the time of the document, of an earlier round or without one is not signed:
    exit status 2, with the reason.
    """
    needs_extras("feed chainlink", "service")
    from atomic_margin.service.feed.chainlink import ChainlinkSource, JsonRpc

    with plain_errors():
        market = read_document(base, Market.parse)
        if now:
            as_of = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            market = Market.parse({**read_json(base), "as_of": as_of})
        aggregators = dict(map(_aggregator, aggregator))
        source = ChainlinkSource(Identity.load_or_create(path), JsonRpc(rpc, block=block), aggregators, lambda: market)
        print_json(signed_once(source, memory, path, read_document(price_rules, PriceRules.parse), operator).to_json())


def _aggregator(entry: str) -> "tuple[str, Aggregator]":
    from atomic_margin.service.feed.chainlink import Aggregator

    name, _, rest = entry.partition("=")
    address, _, seconds = rest.partition(",")
    if not name or not seconds.isascii() or not seconds.isdigit():
        raise ConfigurationError(
            f"--aggregator takes PATH=ADDRESS,SECONDS, as in underlyings.BTC.spot=0x...,3600; got {entry!r}"
        )
    return name, Aggregator(address, int(seconds))


@app.command(name="combine")
def combine_prices(
    prices: Annotated[list[Path], typer.Argument(help="Signed prices, one file a source.")], price_rules: RulesFile
) -> None:
    """Try whether signed prices make a tick under the rules, and print what to post to the operator (POST /v1/ticks).

    What the operator compares with the tick before is not tried here: the place of most documents counts. Sources that
    would be dropped are left out.
    """
    with plain_errors():
        documents = [read_document(path, SignedDocument.parse) for path in prices]
        signed = [parse_signed(document, Price)[1] for document in documents]
        pinned = read_document(price_rules, PriceRules.parse)
        now = datetime.now(timezone.utc).replace(microsecond=0)
        places = Counter(Place(one.market.sequence, pinned.hash(), one.previous, one.last_market) for one in signed)
        ((place, _),) = places.most_common(1)
        combined = combine(documents, pinned, place, now)
        for one in combined.dropped:
            typer.echo(f"left out: {one.source}, {one.reason} {one.quote or ''}".rstrip(), err=True)
        print_json(price_set(combined.used, place.sequence).canonical())


@app.command(name="change-rules")
def change_rules(
    new_rules: Annotated[Path, typer.Argument(help="The rules that are to hold; `feed rules` prints some.")],
    path: KeyFile,
    price_rules: RulesFile,
    operator_key: Annotated[str, typer.Option(help="Public key of the operator whose ticks are meant.")],
    from_tick: Annotated[int, typer.Option(min=2, help="Number of the first tick under the new rules.")],
) -> None:
    """Sign, as a source of the rules in force (`--price-rules`), that others hold from a tick on, and print it.

        atomic-margin feed change-rules new.json --key source.key --price-rules price-rules.json
        --operator-key KEY --from-tick 40

    The operator takes what enough sources signed alike (`operator change-rules`).
    """
    with plain_errors():
        change = NewRules.parse(
            {
                "operator": operator_key,
                "previous": read_document(price_rules, PriceRules.parse).hash(),
                "from_sequence": str(from_tick),
                "rules": read_document(new_rules, PriceRules.parse).canonical(),
            }
        )
        print_json(change.signed_by(Identity.load_or_create(path)).to_json())


@app.command(cls=configured("source"))
def push(
    price: Annotated[Path, typer.Argument(help="What `feed sign` or `feed chainlink` printed.")],
    path: KeyFile,
    operator: Annotated[str, typer.Option(help="Address of the operator's server.")],
    directory: SourceFolder = None,
    config: ConfigFile = None,
) -> None:
    """Send one source's signed prices to the operator, and print where they stand in its log.

        atomic-margin feed push signed.json --key source.key --operator URL

    The tick of that number holds them then, or the log shows that the operator left them out. Send the same once more
    if the answer got lost. Exit status 2: refused, with the reason, or what came back is no receipt for this document.
    """
    needs_extras("feed push", "service")
    from atomic_margin.service.feed.remote import OperatorTicks
    from atomic_margin.service.http.signatures import RequestSigner

    with plain_errors():
        signed, identity = read_document(price, SignedDocument.parse), Identity.load_or_create(path)
        asked = OperatorTicks(operator, verify=tls.trusted())
        signer = RequestSigner(identity.public_key, identity.sign_request, asked.operator())
        print_json(asked.push(signed, signer).to_json())


@app.command()
def post(
    prices: Annotated[Path, typer.Argument(help="What `feed combine` printed.")],
    operator: Annotated[str, typer.Option(help="Address of the operator's server.")],
) -> None:
    """Post prices to the operator and print the runs they schedule. Exit status 2: refused, with the reason."""
    needs_extras("feed post", "service")
    with plain_errors():
        print_json(post_prices(read_json(prices), operator))


app.command(cls=configured("source"))(tick)
