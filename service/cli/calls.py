"""Calls of the commands on a running operator or agent: JSON out, or one sentence, or the problem document."""

import time
from functools import partial
from typing import Any
from uuid import uuid4

import typer

from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import EXIT_REFUSED, print_json
from atomic_margin.service.cli.tls import trusted
from atomic_margin.service.errors import RemoteError

TIMEOUT_SECONDS = 180
LOOK_SECONDS = 0.5
"""Between two looks at whether a server is there."""


def call(
    command: str,
    method: str,
    url: str,
    *,
    token: str,
    body: Any = None,
    whom: str,
    advice: str,
    seconds: int = TIMEOUT_SECONDS,
) -> Any:
    """Carry out a call and return the JSON of its answer; print a problem document and end with status 1.

    Args:
        command: as the user wrote it, for the sentence that names a missing extra.
        method: GET or POST.
        url: address and path.
        token: bearer token.
        body: JSON to send.
        whom: who should answer there.
        advice: what to do when nobody answers.
        seconds: to wait for the answer.

    Raises:
        RemoteError: nobody answers, or with something that is not JSON.
    """
    needs_extras(command, "service")
    import httpx

    headers = {"Authorization": f"Bearer {token}"}
    if method == "POST":
        # New with every command: the same command tomorrow, or in a minute, is meant to be carried out.
        headers["Idempotency-Key"] = uuid4().hex
    ask = partial(httpx.request, method, url, json=body, headers=headers, timeout=seconds, verify=trusted())
    try:
        try:
            response = ask()
        except (httpx.ReadError, httpx.RemoteProtocolError):
            # The connection broke after something was sent: under its key it is carried out once.
            response = ask()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RemoteError(f"{whom} does not answer at {url}: {error}; {advice}") from error
    try:
        value = response.json()
    except ValueError:
        raise RemoteError(
            f"{url} answers with status {response.status_code} and no JSON, so it is not {whom}; {advice}",
            response.status_code,
        ) from None
    if response.is_error:
        print_json(value)
        raise typer.Exit(EXIT_REFUSED)
    return value


def wait_for(command: str, address: str, seconds: int) -> None:
    """Return once a server answers, or when the time is over: the call that follows says what is wrong then."""
    needs_extras(command, "service")
    import httpx

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{address.rstrip('/')}/healthz", timeout=LOOK_SECONDS * 10).raise_for_status()
        except httpx.TransportError:
            time.sleep(LOOK_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL):
            # Somebody is there, or can never be.
            return
        else:
            return
