"""What the commands of `atomic-margin feed` that sign share, and `feed tick`, which signs and posts in one step."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atomic_margin.margin.market.market import Market
from atomic_margin.service.cli import tls
from atomic_margin.service.cli.configuration import ConfigFile, SourceFolder
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.cli.scaffolds import read_public
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.feed.source import DocumentSource, price_set
from atomic_margin.service.files import read_document
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.public_files import OperatorPublic
from atomic_margin.service.protocol.signing import Identity, SignedDocument

if TYPE_CHECKING:
    from atomic_margin.service.feed.source import PriceSource

MEMORY_SUFFIX = ".memory.json"

KeyFile = Annotated[Path, typer.Option("--key", help="The source's Ed25519 key file; made if absent.")]
RulesFile = Annotated[Path, typer.Option("--price-rules", help="Price rules; `feed rules` prints some.")]
OperatorUrl = Annotated[str, typer.Option("--operator", help="Address of the operator's server, for its newest tick.")]
MemoryFile = Annotated[
    Path | None,
    typer.Option(
        "--memory", help="What the source signed last and which tick it knows.", show_default="beside the key"
    ),
]


def signed_once(
    source: "PriceSource", memory: Path | None, key: Path, rules: PriceRules, operator: str
) -> SignedDocument:
    """Follow the operator's ticks, and return what the source signs for the next one.

    Args:
        source: what signs.
        memory: where it remembers; by default beside the key.
        key: its file.
        rules: that are in force first.
        operator: address.
    """
    from atomic_margin.service.feed.memory import remembering
    from atomic_margin.service.feed.remote import OperatorTicks

    shown = OperatorTicks(operator, verify=tls.trusted())
    with remembering(memory or key.with_name(key.name + MEMORY_SUFFIX), rules) as remembered:
        place = remembered.catch_up(shown.newest(), shown.tick)
        return remembered.sign_once(place, source.fetch)


def post_prices(prices: Any, operator: str) -> Any:
    """Post prices to the operator, and return the runs that they schedule.

    Raises:
        RemoteError: it does not answer, or refuses them.
    """
    import httpx

    from atomic_margin.service.errors import RemoteError

    try:
        response = httpx.post(f"{operator.rstrip('/')}/v1/ticks", json=prices, timeout=60, verify=tls.trusted())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RemoteError(f"{operator} does not answer: {error}") from error
    answer = response.json() if "json" in response.headers.get("content-type", "") else {}
    if response.is_error:
        raise RemoteError(f"the tick is refused: {answer.get('detail', response.text)}", response.status_code)
    return answer


def tick(
    market: Annotated[Path, typer.Argument(help="A market document; examples/market-1.json is one.")],
    path: KeyFile,
    operator: Annotated[
        str, typer.Option("--operator", help="The operator's public file, or the address of its server.")
    ],
    price_rules: Annotated[
        Path | None,
        typer.Option("--price-rules", help="Price rules.", show_default="of the operator's public file"),
    ] = None,
    others: Annotated[
        list[Path] | None, typer.Option("--with", help="What another source signed for the same tick; repeatable.")
    ] = None,
    memory: MemoryFile = None,
    directory: SourceFolder = None,
    config: ConfigFile = None,
) -> None:
    """Sign a market as a source, post it with what others signed, and print the runs that the tick schedules.

        atomic-margin feed tick market-1.json --operator operator/public.json --key source.key

    Alone where one source is required; else with enough others' documents, which `feed sign` prints. Exit status 2:
    nothing is signed, or the tick is refused, with the reason.
    """
    needs_extras("feed tick", "service")
    with plain_errors():
        address, rules = operator, price_rules
        if not operator.startswith(("http://", "https://")):
            public: OperatorPublic = read_public(OperatorPublic, Path(operator))
            address, pinned = public.address, public.prices
        elif rules is None:
            raise ConfigurationError("say --price-rules, or give --operator the operator's public file")
        if rules is not None:
            pinned = read_document(rules, PriceRules.parse)
        source = DocumentSource(Identity.load_or_create(path), read_document(market, Market.parse))
        signed = [signed_once(source, memory, path, pinned, address)]
        signed += [read_document(one, SignedDocument.parse) for one in others or []]
        sequence = int(signed[0].body["market"]["sequence"])
        print_json(post_prices(price_set(signed, sequence).canonical(), address))
