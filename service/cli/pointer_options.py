"""Options of the commands that follow or publish an ENS name: which node, which registry, which gateway."""

from typing import Annotated

import typer

from atomic_margin.service.cli.tls import trusted
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.pointer.addresses import Route
from atomic_margin.service.pointer.chain import Node
from atomic_margin.service.pointer.downloads import Downloads
from atomic_margin.service.pointer.lookups import MAX_ANSWER_BYTES, Resolver, find_resolver
from atomic_margin.service.pointer.names import parse_name

Rpc = Annotated[str | None, typer.Option("--rpc", help="Address of the node that is asked about the name.")]
Registry = Annotated[str, typer.Option("--registry", help="Registry of names, on another chain than those of ENS.")]
GatewayAddress = Annotated[
    str | None,
    typer.Option("--gateway", help="Gateway that is asked in place of those that the name's resolver names."),
]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        help="Host of your own network, or of this machine, that a name may lead to, by redirect too; repeatable.",
    ),
]


def route_of(allowed: list[str] | None) -> Route:
    """Return whom a name may lead to."""
    return Route(frozenset(host.lower().strip("[]") for host in allowed or []))


def resolver_of(name: str, rpc: str | None, registry: str, gateway: str | None, downloads: Downloads) -> Resolver:
    """Return the resolver of a name, ready to be asked.

    Raises:
        ConfigurationError: no node is named, or the registry is no address.
        PointerError: the name is none, or has no resolver.
    """
    if rpc is None:
        raise ConfigurationError("say with --rpc which node is asked about the name")
    digits = registry.removeprefix("0x").lower()
    if len(digits) != 40 or set(digits) - set("0123456789abcdef"):
        raise ConfigurationError(f"--registry is an address of 0x and 40 hex digits, got {registry[:80]!r}")

    def ask(url: str, body: bytes | None) -> bytes:
        return downloads.get(url, MAX_ANSWER_BYTES, body, own=gateway is not None)

    parsed = parse_name(name)
    return find_resolver(Node(rpc, trusted), f"0x{digits}", parsed, ask, gateway)
