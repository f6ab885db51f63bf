"""What a name leads to is fetched within limits, from public addresses alone, whatever the other side does."""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from atomic_margin.service.pointer.addresses import PUBLIC, Route, parse_address, resolve_address
from atomic_margin.service.pointer.downloads import Downloads, download
from atomic_margin.service.pointer.errors import AddressRefused, DownloadFailed, DownloadTooLarge, DownloadTooSlow

from ..contracts.names import serving

HERE = Route(frozenset({"127.0.0.1", "localhost"}))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/x",
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://example.org/",
        "https://",
        "https:///x",
        "https://user@example.org/",
        "https://example.org@10.0.0.1/",
        "https://example.org/#part",
        "https://example.org/a b",
        "https://example.org/\n",
        "https://example.org\\@10.0.0.1/",
        "https://bücher.example/",
        "https://example.org:99999/",
        "https://[::1/",
        "https://example.org/" + "x" * 5000,
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(AddressRefused, match="is not followed"):
        parse_address(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "localhost",
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[fe80::1]",
        "[fd00::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[ff02::1]",
    ],
)
def test_private_addresses_are_not_asked(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(AddressRefused, match="is not followed"):
        download(f"https://{host}/x", 100)
    # By http not even where the host is allowed, unless it is this machine.
    with pytest.raises(AddressRefused, match="is not followed"):
        download(f"http://{host}/x", 100)


def test_a_host_with_one_private_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    address = parse_address("https://example.org/")
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1 is no public address"):
        resolve_address(address, PUBLIC)
    named = Route(frozenset({"example.org"}))
    assert [ip for _, (ip, _) in resolve_address(address, named)] == ["93.184.215.14", "10.0.0.1"]
    # Http is for this machine, whatever is allowed.
    with pytest.raises(AddressRefused, match="http is for this machine"):
        resolve_address(parse_address("http://example.org/"), named)
    assert resolve_address(parse_address("http://example.org/"), Route(own=True))


def test_what_was_looked_at_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is another one at the second look gains nothing: there is no second look."""
    looks: list[str] = []
    real = socket.getaddrinfo

    def once(host: str, *arguments: Any, **named: Any) -> Any:
        looks.append(host)
        return real(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    with serving(answering(b"here")) as url:
        assert download(f"{url}/x", 100, HERE) == b"here"
    assert looks == ["127.0.0.1"]


def answering(
    body: bytes = b"",
    status: int = 200,
    *,
    play: Callable[[BaseHTTPRequestHandler], None] | None = None,
    **headers: str,
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if play is not None:
                play(self)
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def test_sizes_have_a_limit() -> None:
    with serving(answering(b"x" * 100)) as url:
        assert download(url, 100, HERE) == b"x" * 100
        with pytest.raises(DownloadTooLarge, match="with more than 99 bytes"):
            download(url, 99, HERE)
    with serving(answering(b"x" * 100, Content_Length="100")) as url:
        with pytest.raises(DownloadTooLarge, match="with 100 bytes, at most 99 are taken"):
            download(url, 99, HERE)
        assert download(url, 100, HERE) == b"x" * 100
    with serving(answering(b"x" * 50, Content_Length="100")) as url, pytest.raises(DownloadFailed, match="early"):
        download(url, 200, HERE)


def test_what_is_compressed_is_not_unpacked() -> None:
    with serving(answering(b"x", Content_Encoding="gzip")) as url, pytest.raises(DownloadFailed, match="compressed"):
        download(url, 100, HERE)


def test_other_statuses_are_failures() -> None:
    for status in (204, 206, 400, 404, 500):
        with serving(answering(status=status)) as url, pytest.raises(DownloadFailed) as caught:
            download(url, 100, HERE)
        assert caught.value.status == status


def slow_body(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    slowly(request)


def slow_head(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    slowly(request)


def slowly(request: BaseHTTPRequestHandler) -> None:
    try:
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        # The other side had enough.
        return


@pytest.mark.parametrize("play", [slow_body, slow_head])
def test_a_server_cannot_hold_a_verifier_up(play: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with serving(answering(play=play)) as url:
        begun = time.monotonic()
        with pytest.raises(DownloadTooSlow):
            download(url, 1000, HERE, seconds=0.3)
        assert time.monotonic() - begun < 3


def test_redirects_stay_where_they_are() -> None:
    def to(place: str, status: int = 302) -> type[BaseHTTPRequestHandler]:
        def play(request: BaseHTTPRequestHandler) -> None:
            if request.path == "/there":
                request.send_response(200)
                request.end_headers()
                request.wfile.write(b"there")
                return
            request.send_response(status)
            request.send_header("Location", place)
            request.end_headers()

        return answering(play=play)

    with serving(to("/there")) as url:
        assert download(url, 100, HERE) == b"there"
        with pytest.raises(AddressRefused, match="what was posted"):
            download(url, 100, HERE, body=b"{}")
    with serving(to("/again")) as url, pytest.raises(AddressRefused, match="leads on and on"):
        download(url, 100, HERE)
    for place in ("https://example.org/", "http://10.0.0.1/", "//example.org/x", "file:///etc/passwd", "http://[::1]/"):
        with serving(to(place)) as url, pytest.raises(AddressRefused, match="is not followed"):
            download(url, 100, HERE)
    with serving(answering(b"other")) as other, serving(to(f"{other}/x")) as url:
        # Another port of a host that the user allows.
        assert download(url, 100, HERE) == b"other"
        with pytest.raises(AddressRefused, match="which is not followed"):
            download(url, 100, Route(own=True))


def test_all_that_a_name_points_to_has_one_time() -> None:
    with serving(answering(b"x")) as url:
        asked = Downloads(HERE, seconds=2)
        assert asked.get(url, 10) == b"x"
        time.sleep(2.1)
        with pytest.raises(DownloadTooSlow, match="the time for all"):
            asked.get(url, 10)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DownloadFailed, match="does not answer"):
        download(f"http://127.0.0.1:{port}/", 100, HERE)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "chain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "chain.pem", folder / "key.pem"


def test_https_is_who_it_should_be(certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(chain, key)

    def trusting() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(chain))

    for play, said in ((None, None), (slow_body, DownloadTooSlow)):
        with serving(answering(b"safe", play=play), server) as url:
            if said is None:
                assert download(url, 100, HERE, trusted=trusting) == b"safe"
                with pytest.raises(DownloadFailed, match="is not shown to be who it should be"):
                    download(url, 100, HERE)
                with pytest.raises(DownloadFailed, match="is not shown to be who it should be"):
                    download(url.replace("127.0.0.1", "localhost"), 100, HERE, trusted=trusting)
            else:
                with pytest.raises(said):
                    download(url, 1000, HERE, seconds=0.3, trusted=trusting)
    # Who accepts and says nothing is cut off in the middle of the handshake.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url, begun = f"https://127.0.0.1:{silent.getsockname()[1]}/", time.monotonic()
        with pytest.raises(DownloadTooSlow):
            download(url, 100, HERE, seconds=0.3, trusted=trusting)
        assert time.monotonic() - begun < 3


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of proxies is not asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
