"""Which addresses are followed: those that a name gives come from whoever owns the name. For `downloads`.

Only https, and only to public addresses of the net, so that nobody's verifier is made to ask its own network. A host
that the user names may be private, and may be asked by http if it is this machine.

>>> parse_address("https://example.org/bundle.json").host
'example.org'
>>> parse_address("file:///etc/passwd")
Traceback (most recent call last):
    ...
atomic_margin.service.pointer.errors.AddressRefused: 'file:///etc/passwd' is not followed: https is wanted
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from atomic_margin.service.pointer.errors import AddressRefused, DownloadFailed

MAX_URL_CHARACTERS = 4096
MAX_ADDRESSES = 8
"""Of one host, that are looked at."""
_TRANSLATED = (
    # Addresses of version 4 inside: NAT64, and two ways of tunnels.
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("2002::/16"),
    ipaddress.IPv6Network("2001::/32"),
)
_SEEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Address:
    """A parsed http or https address.

    Attributes:
        scheme: http or https.
        host: in small letters, without brackets.
        port: given, or the scheme's.
        target: path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def shown(self) -> str:
        """What an error says of it: a path may hold what is nobody's business, such as a node's access key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if self.port == usual else f":{self.port}")


@dataclass(frozen=True)
class Route:
    """Whom a caller lets be asked.

    Attributes:
        allowed: hosts that may be private, or on this machine by http, and that redirects may lead to.
        own: the user named the address itself: it may be anywhere, by http too.
    """

    allowed: frozenset[str] = frozenset()
    own: bool = False


PUBLIC = Route()


def parse_address(url: str) -> Address:
    """Return the parts of an address.

    Raises:
        AddressRefused: it is none of http or https, has a user or a fragment, or other characters than an address has.
    """
    shown = repr(url[:120].encode("ascii", "backslashreplace").decode())
    if len(url) > MAX_URL_CHARACTERS or not _SEEN.fullmatch(url) or "\\" in url:
        raise AddressRefused(f"{shown} is not followed: an address has up to {MAX_URL_CHARACTERS} ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefused(f"{shown} is not followed: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise AddressRefused(f"{shown} is not followed: https is wanted")
    if not host or "@" in parts.netloc or parts.fragment:
        raise AddressRefused(f"{shown} is not followed: it takes a host, and no user or fragment")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme, host, port or {"http": 80, "https": 443}[parts.scheme], target)


def resolve_address(address: Address, route: Route) -> list[tuple[int, tuple[str, int]]]:
    """Return where to connect, as (family, address and port): what was looked at is what is connected to.

    Raises:
        AddressRefused: one of the host's addresses is not to be asked.
        DownloadFailed: the host has none.
    """
    named = address.host in route.allowed
    if address.scheme == "http" and not (named or route.own):
        raise AddressRefused(f"{address.shown} is not followed: https is wanted, or name the host with --allow-host")
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DownloadFailed(f"{address.shown}: the host is not known ({error})") from None
    places = list(dict.fromkeys((int(family), (str(to[0]), int(to[1]))) for family, _, _, _, to in found))
    for _, (ip, _) in places[:MAX_ADDRESSES]:
        if not route.own:
            _require_allowed(address, ip, named)
    return places[:MAX_ADDRESSES]


def _require_allowed(address: Address, ip: str, named: bool) -> None:
    parsed = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if any(parsed in network for network in _TRANSLATED) and not named:
            raise AddressRefused(f"{address.shown} is not followed: {ip} leads into another net")
        parsed = parsed.ipv4_mapped or parsed
    if address.scheme == "http" and not parsed.is_loopback:
        raise AddressRefused(f"{address.shown} is not followed: http is for this machine alone, elsewhere it is https")
    if not named and (not parsed.is_global or parsed.is_multicast):
        raise AddressRefused(
            f"{address.shown} is not followed: {ip} is no public address; if it is yours, name the host with "
            "--allow-host"
        )
