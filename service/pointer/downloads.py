"""One request over http or https with limits on size and time, to addresses that were looked at. For this room.

It uses no proxy, follows few redirects and none to another host, and takes no compressed answer. A clock of its own
cuts the connection when the time is over, so that a server cannot hold one up by a byte now and then.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urljoin

from atomic_margin.service.pointer.addresses import PUBLIC, Address, Route, parse_address, resolve_address
from atomic_margin.service.pointer.errors import AddressRefused, DownloadFailed, DownloadTooLarge, DownloadTooSlow

MAX_REDIRECTS = 3
DOWNLOAD_SECONDS = 30.0
IDLE_SECONDS = 10.0
TOTAL_SECONDS = 120.0
"""For all that is asked because of one name."""
_MOVED = (301, 302, 303, 307, 308)

Trusted = Callable[[], ssl.SSLContext]
"""Returns what servers are checked by."""


def download(
    url: str,
    limit: int,
    route: Route = PUBLIC,
    *,
    body: bytes | None = None,
    seconds: float = DOWNLOAD_SECONDS,
    trusted: Trusted = ssl.create_default_context,
) -> bytes:
    """Return what is at an address.

    Args:
        url: asked by GET, or by POST of JSON if there is a body.
        limit: bytes, at most.
        route: whom it may be asked of.
        body: JSON to send.
        seconds: for all of it, redirects included.
        trusted: whose certificates count.

    Raises:
        AddressRefused: it, or where it leads to, is not followed.
        DownloadTooLarge: it is longer.
        DownloadTooSlow: it is not there in time.
        DownloadFailed: there is nothing, or no server that answers.
    """
    deadline = time.monotonic() + seconds
    address = parse_address(url)
    for _ in range(MAX_REDIRECTS + 1):
        with _connected(address, route, deadline, trusted) as cut:
            status, location, data = _asked(address, cut, limit, body)
        if status not in _MOVED:
            if status != 200:
                raise DownloadFailed(f"{address.shown} answers with status {status}", status)
            return data
        url = urljoin(url, location)
        address = _led_to(address, parse_address(url), route, body)
    raise AddressRefused(f"{address.shown} leads on and on: at most {MAX_REDIRECTS} redirects are followed")


def _led_to(here: Address, there: Address, route: Route, body: bytes | None) -> Address:
    if body is not None:
        raise AddressRefused(f"{here.shown} sends what was posted to it elsewhere, which is not followed")
    same = (there.scheme, there.host, there.port) == (here.scheme, here.host, here.port)
    if not same and there.host not in route.allowed:
        raise AddressRefused(
            f"{here.shown} leads to {there.shown}, which is not followed; if it may, name the host with --allow-host"
        )
    if (here.scheme, there.scheme) == ("https", "http"):
        raise AddressRefused(f"{here.shown} leads from https to http, which is not followed")
    return there


class _Cut:
    """A connection, and the clock that cuts it."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.over = threading.Event()
        self.connection = connection
        self._timer = threading.Timer(max(deadline - time.monotonic(), 0.001), self._cut)
        self._timer.daemon = True
        self._timer.start()

    def _cut(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            # The system's half alone: that of TLS has a state that another thread must not change.
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def close(self) -> None:
        self._timer.cancel()
        self.connection.close()


@contextlib.contextmanager
def _connected(address: Address, route: Route, deadline: float, trusted: Trusted) -> Iterator[_Cut]:
    cut = _Cut(_socket_to(address, resolve_address(address, route), deadline), deadline)
    try:
        if address.scheme == "https":
            _secure(address, cut, trusted)
        yield cut
    finally:
        cut.close()


def _socket_to(address: Address, places: list[tuple[int, tuple[str, int]]], deadline: float) -> socket.socket:
    failure: OSError | None = None
    for family, to in places:
        left = deadline - time.monotonic()
        if left <= 0:
            raise DownloadTooSlow(f"{address.shown} does not answer in time")
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(min(left, IDLE_SECONDS))
        try:
            connection.connect(to)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise DownloadFailed(f"{address.shown} does not answer: {failure}")


def _secure(address: Address, cut: _Cut, trusted: Trusted) -> None:
    try:
        # In two steps: the clock has to reach the socket that shakes hands.
        secured = trusted().wrap_socket(cut.connection, server_hostname=address.host, do_handshake_on_connect=False)
        cut.connection = secured
        secured.do_handshake()
    except (OSError, ValueError) as error:
        raise _failure(address, cut, error) from None


def _failure(address: Address, cut: _Cut, error: Exception) -> DownloadFailed:
    if cut.over.is_set() or isinstance(error, TimeoutError):
        return DownloadTooSlow(f"{address.shown} does not answer in time")
    if isinstance(error, ssl.SSLError):
        return DownloadFailed(f"{address.shown} is not shown to be who it should be: {error}")
    return DownloadFailed(f"{address.shown} does not answer as a server does: {error!r}"[:300])


def _asked(address: Address, cut: _Cut, limit: int, body: bytes | None) -> tuple[int, str, bytes]:
    """Return status, where it leads to, and what came."""
    client = http.client.HTTPConnection(address.host, address.port)
    client.default_port = {"http": 80, "https": 443}[address.scheme]
    # Connected already, to an address that was looked at.
    client.sock = cut.connection
    headers = {"Accept-Encoding": "identity", "User-Agent": "atomic-margin", "Connection": "close"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        client.request("GET" if body is None else "POST", address.target, body, headers)
        with client.getresponse() as response:
            return _read(address, response, cut, limit)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(address, cut, error) from None


def _read(address: Address, response: http.client.HTTPResponse, cut: _Cut, limit: int) -> tuple[int, str, bytes]:
    if response.status in _MOVED:
        return response.status, response.getheader("Location", ""), b""
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise DownloadFailed(f"{address.shown} answers with compressed bytes, which nobody asked for")
    if response.status == 200 and (response.length or 0) > limit:
        raise DownloadTooLarge(f"{address.shown} answers with {response.length} bytes, at most {limit} are taken")
    data = response.read(limit + 1)
    if cut.over.is_set():
        # What was cut off looks like an end where nothing said how long it is.
        raise DownloadTooSlow(f"{address.shown} is not there in time")
    if len(data) > limit:
        raise DownloadTooLarge(f"{address.shown} answers with more than {limit} bytes")
    if response.length:
        raise DownloadFailed(f"{address.shown} ends {response.length} bytes early")
    return response.status, "", data


class Downloads:
    """What is asked for one name, within one time for all of it."""

    def __init__(
        self, route: Route = PUBLIC, trusted: Trusted = ssl.create_default_context, seconds: float = TOTAL_SECONDS
    ) -> None:
        """Ask by a route, for so many seconds from now on."""
        self._route, self._trusted = route, trusted
        self._deadline = time.monotonic() + seconds

    def get(self, url: str, limit: int, body: bytes | None = None, *, own: bool = False) -> bytes:
        """Return what is at an address; see `download`. ``own``: the user named it."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DownloadTooSlow(f"the time for all that a name points to is over before {parse_address(url).shown}")
        route = Route(self._route.allowed, own)
        return download(url, limit, route, body=body, seconds=min(left, DOWNLOAD_SECONDS), trusted=self._trusted)
