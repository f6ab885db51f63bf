"""The command of `atomic-margin institution` about its own default: agree to the loss."""

from typing import Annotated

import typer

from atomic_margin.service.cli.agent_calls import DEFAULT_AGENT, AgentUrl, Directory, ask
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.protocol.agent_messages import LossSigned


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("agree-loss")(agree_loss)


def agree_loss(
    loss: Annotated[str, typer.Argument(help="In smallest units of the waterfall rules' cash.")],
    directory: Directory,
    reason: Annotated[str, typer.Option(help="For the operator and whoever is shown the default.")] = "agreed",
    agent: AgentUrl = DEFAULT_AGENT,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Sign what closing out the book of this institution's default has lost; the operator agrees, or does not.

    Then it is borne by this institution's collateral first, its fund contribution next, and others after that. What is
    left goes back to free collateral. After another sale it is void: sign again.
    """
    if not yes:
        typer.confirm(f"Is the loss of closing out the book {loss}?", abort=True)
    with plain_errors():
        print_json(ask(LossSigned, directory, agent, "POST", "/v1/loss", {"loss": loss, "reason": reason}))
