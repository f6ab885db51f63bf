"""Commands of `atomic-margin institution` about its book and what became of it: submit, status, runs."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.service.books import read_book_file
from atomic_margin.service.cli.agent_calls import DEFAULT_AGENT, TOKEN_FILE, AgentUrl, Directory, ask
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.cli.scaffolds import add_keys
from atomic_margin.service.cli.tables import AsJson, Sections, Watch, show
from atomic_margin.service.errors import ConfigurationError, RemoteError
from atomic_margin.service.files import read_document
from atomic_margin.service.institution.contradictions import Contradictions
from atomic_margin.service.protocol.agent_messages import AgentStatus, DecidedRuns, Submitted
from atomic_margin.service.protocol.messages import Booked

LOOK_SECONDS = 0.5
SUBMIT_SECONDS = 605_000
"""Custodians receipt a book before it is submitted, if there are some; a deal takes receipts for a week at most."""


def submit(
    portfolio: Annotated[
        Path, typer.Argument(help="A portfolio or trades, JSON or CSV; examples/portfolio.json is one.")
    ],
    directory: Directory,
    post: Annotated[
        Path | None, typer.Option(help="Collateral holdings, as JSON: what they have posted is posted first.")
    ] = None,
    wait: Annotated[
        int, typer.Option(min=0, max=3600, help="Seconds to wait for the agent to be enrolled, if it is not yet.")
    ] = 0,
    agent: AgentUrl = DEFAULT_AGENT,
) -> None:
    """Encrypt, commit to, prove and submit a portfolio through the running agent; trades are netted there.

    What is wrong with the file is named by file and field, or by line and column of CSV, and nothing is sent. What the
    agent refuses it names by its field; the first line of CSV below the header is lines[0], or trades[0].
    """
    with plain_errors():
        file = read_book_file(portfolio)
        file.parse()
        holdings = None if post is None else read_document(post, CollateralHoldings.parse)
        _wait_for(directory, agent, wait)
        for asset, quantity in ({} if holdings is None else holdings.posted).items():
            moved = {"action": "post", "asset": asset, "quantity": str(quantity)}
            ask(Booked, directory, agent, "POST", "/v1/collateral", moved)
        submitted = ask(Submitted, directory, agent, "POST", "/v1/portfolio", file.document, SUBMIT_SECONDS)
        add_keys(directory, ask(AgentStatus, directory, agent, "GET", "/v1/status")["key_commitments"])
        print_json(submitted)


def status(directory: Directory, as_json: AsJson = False, watch: Watch = None, agent: AgentUrl = DEFAULT_AGENT) -> None:
    """Show the agent's stage, problem, alarm, and the hash of its FHE key commitments.

    Of an agent that does not run it says what the operator signed against itself, if there is anything in the folder:
    that is what an agent ends on.
    """

    def fetch() -> Any:
        try:
            found = ask(AgentStatus, directory, agent, "GET", "/v1/status")
        except RemoteError as error:
            kept = Contradictions(directory).shown
            if error.status or kept is None:
                raise
            raise RemoteError(f"{error}. It may have ended on this: {kept}") from error
        add_keys(directory, found["key_commitments"])
        return found

    def sections(found: Any) -> Sections:
        rows = [(name.replace("_", " "), _text(value)) for name, value in found.items()]
        return [("Agent", ("what", "now"), rows)]

    show(fetch, sections, as_json, watch)


def runs(directory: Directory, as_json: AsJson = False, watch: Watch = None, agent: AgentUrl = DEFAULT_AGENT) -> None:
    """Show the private figures of every answered run."""

    def sections(found: Any) -> Sections:
        columns = (
            "run",
            "tick",
            "outcome",
            "surplus USD",
            "shortfall USD",
            "top-up USD",
            "worst scenario",
            "delivered",
        )
        names = ("run_id", "price_sequence", "outcome", "surplus_true", "shortfall_true", "top_up", "worst_scenario")
        rows = [(*(one[name] for name in names), "yes" if one["delivered"] else "no") for one in found["runs"]]
        return [("Runs", columns, rows)]

    show(lambda: ask(DecidedRuns, directory, agent, "GET", "/v1/runs"), sections, as_json, watch)


def register(app: typer.Typer) -> None:
    """Add the commands to those of an institution."""
    for command in (submit, status, runs):
        app.command()(command)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _wait_for(directory: Path, agent: str, seconds: int) -> None:
    """Return once the agent is enrolled, or when the time is over: then the call itself says what is wrong."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (directory / TOKEN_FILE).is_file():
            try:
                if ask(AgentStatus, directory, agent, "GET", "/v1/status")["enrolled"]:
                    return
            except (RemoteError, ConfigurationError):
                # It may only just be starting.
                pass
        time.sleep(LOOK_SECONDS)
