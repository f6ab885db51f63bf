"""Which address of a request counts as one peer, for limits. For every HTTP face."""

import ipaddress

from starlette.types import Scope


def peer_of(scope: Scope) -> str:
    """Return the address that a request comes from; of an IPv6 one the /64, which one sender has whole."""
    client = scope.get("client")
    host = "unknown" if client is None else str(client[0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    mapped = address.ipv4_mapped
    return str(ipaddress.ip_network((int(address), 64), strict=False)) if mapped is None else str(mapped)
