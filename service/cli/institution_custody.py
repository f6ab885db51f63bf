"""The command of `atomic-margin institution` about custodians: ask for others, or for none."""

from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.service.cli.agent_calls import DEFAULT_AGENT, AgentUrl, Directory, ask
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document
from atomic_margin.service.protocol.agreement_messages import AskedToAmend
from atomic_margin.service.protocol.custody import CustodyPolicy


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("amend-custody")(amend_custody)


def amend_custody(
    directory: Directory,
    policy: Annotated[Path | None, typer.Argument(help="The custody policy that is to hold, as JSON.")] = None,
    none: Annotated[bool, typer.Option("--none", help="No custodians any more, in place of a policy.")] = False,
    ticks: Annotated[int, typer.Option(help="For so many ticks you are bound to it.", min=0, max=100_000)] = 100,
    agent: AgentUrl = DEFAULT_AGENT,
) -> None:
    """Sign that other custodians are to hold shares of your books, and ask the operator to agree.

    Pin the policy in your trust file first, beside the one before: `atomic-margin trust --custody NAME=FILE`. Your book
    stays with the custodians it was dealt to until you submit another one, or they re-share it.
    """
    with plain_errors():
        if (policy is None) is not none:
            raise ConfigurationError("say which policy is to hold, or --none")
        body: dict[str, object] = {"ticks": str(ticks)}
        if policy is not None:
            body["custody"] = read_document(policy, CustodyPolicy.parse).canonical()
        print_json(ask(AskedToAmend, directory, agent, "POST", "/v1/custody-amendment", body))
