"""What the commands of `atomic-margin institution` ask a running agent, with the token in its directory."""

from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.service.cli.calls import TIMEOUT_SECONDS, call
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.http.tokens import read_token
from atomic_margin.service.protocol.messages import M

Directory = Annotated[Path, typer.Option("--dir", help="Keys and database of this institution; made if absent.")]
AgentUrl = Annotated[str, typer.Option("--agent", help="Address of the running agent.")]

DEFAULT_AGENT = "http://127.0.0.1:8401"
TOKEN_FILE = "agent.token"  # noqa: S105  # the name of the file, not a token


def ask(
    kind: type[M], directory: Path, agent: str, method: str, path: str, body: Any = None, seconds: int = TIMEOUT_SECONDS
) -> dict[str, Any]:
    """Return what the agent answers, as JSON; `seconds` is how long it may take.

    Raises:
        ConfigurationError, RemoteError, DocumentError: it does not answer, or not with that.
    """
    if not (directory / TOKEN_FILE).is_file():
        raise ConfigurationError(
            f"{directory / TOKEN_FILE} is not there; --dir is the folder of `atomic-margin institution serve --dir`, "
            "which makes it"
        )
    value = call(
        "institution",
        method,
        agent.rstrip("/") + path,
        token=read_token(directory / TOKEN_FILE),
        body=body,
        whom="the agent",
        advice="start the agent with `atomic-margin institution serve`, or give its address with --agent",
        seconds=seconds,
    )
    return kind.parse(value).to_json()
