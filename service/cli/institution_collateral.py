"""Commands of `atomic-margin institution` about its collateral: post, release, substitute, withdraw, excess."""

from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.service.cli.agent_calls import DEFAULT_AGENT, AgentUrl, Directory, ask
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import replace_json
from atomic_margin.service.protocol.agent_messages import Excess, NettingShown, Released
from atomic_margin.service.protocol.messages import Booked

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Asset = Annotated[str, typer.Argument(help="Of the collateral schedule.")]
Quantity = Annotated[int, typer.Argument(min=1, help="Of it, in smallest units.")]


def post(
    asset: Asset, quantity: Quantity, directory: Directory, agent: AgentUrl = DEFAULT_AGENT, as_json: AsJson = False
) -> None:
    """Post free collateral: it counts from the next run on.

    While a run is open it is refused; post after it is answered.
    """
    _instruct("post", asset, quantity, directory, agent, as_json)


def withdraw(
    asset: Asset, quantity: Quantity, directory: Directory, agent: AgentUrl = DEFAULT_AGENT, as_json: AsJson = False
) -> None:
    """Withdraw free collateral: it leaves the operator.

    Possible while no run is open or due, no book waits, and the book in force was proven covered since it came. What is
    posted is released first, with `atomic-margin institution release`.
    """
    _instruct("withdraw", asset, quantity, directory, agent, as_json)


def release(
    moves: Annotated[
        list[str] | None,
        typer.Argument(metavar="ASSET=QUANTITY...", help="What becomes free, in smallest units; or --all."),
    ] = None,
    *,
    directory: Directory,
    all_of_it: Annotated[bool, typer.Option("--all", help="All that `institution excess` shows.")] = False,
    step: Annotated[int, typer.Option(min=1, help="With --all: USD are rounded down to a multiple of it.")] = 1000,
    agent: AgentUrl = DEFAULT_AGENT,
    as_json: AsJson = False,
) -> None:
    """Have posted collateral back: it becomes free, with a proof that the rest is initial margin.

    The proof says that no row of initial margin is negative with what remains, even if what the book says it gained so
    far counts nothing. It is about the newest tick and the account's last entry: possible while no run is open or due,
    no book waits, and the book was proven covered at a tick after it came. After the next tick, ask again. Without a
    book in force nothing has to be proven. What is free leaves with `atomic-margin institution withdraw`.
    """
    with plain_errors():
        if all_of_it == bool(moves):
            raise ConfigurationError("say what becomes free, as ASSET=QUANTITY, or --all of what may")
        taken = _moves(moves or [])
        if all_of_it:
            taken = ask(Excess, directory, agent, "GET", f"/v1/excess?step={step}")["back"]
        if not taken:
            raise ConfigurationError("nothing may be released now; `atomic-margin institution excess` shows why")
        _show(ask(Released, directory, agent, "POST", "/v1/releases", {"taken": taken}), as_json)


def substitute(
    directory: Directory,
    take: Annotated[list[str], typer.Option(metavar="ASSET=QUANTITY", help="What becomes free; repeatable.")],
    give: Annotated[list[str], typer.Option(metavar="ASSET=QUANTITY", help="What is posted for it; repeatable.")],
    agent: AgentUrl = DEFAULT_AGENT,
    as_json: AsJson = False,
) -> None:
    """Put free collateral in the place of posted collateral, as one event: what is given counts before what is taken.

    Where what is given is worth at least what is taken in every scenario of both kinds of margin, nothing is proven;
    else it comes with the proof of a release. It is possible when a release is.
    """
    with plain_errors():
        wanted = {"taken": _moves(take), "given": _moves(give)}
        _show(ask(Released, directory, agent, "POST", "/v1/releases", wanted), as_json)


def excess(
    directory: Directory,
    step: Annotated[int, typer.Option(min=1, help="USD are rounded down to a multiple of it.")] = 1000,
    agent: AgentUrl = DEFAULT_AGENT,
    as_json: AsJson = False,
) -> None:
    """Show what is posted beyond initial margin at the newest tick, and what to have back; or what is missing.

    Cheapest to deliver, both ways: what the schedule takes last comes back first, and what it takes first is delivered.
    The figure is the institution's own and is not sent. What is released tells the operator a lower bound of it, and
    the step keeps that coarse.
    """
    with plain_errors():
        found = ask(Excess, directory, agent, "GET", f"/v1/excess?step={step}")
        if as_json:
            print_json(found)
        elif found["short_usd"] != "0":
            out.print(f"{found['short_usd']} USD of initial margin are missing at tick {found['price_sequence']}")
            out.print(f"post: {_listed(found['deliver']) or 'free collateral does not reach it; deliver more'}")
        else:
            out.print(f"{found['usd']} USD may come back at tick {found['price_sequence']}")
            out.print(f"release: {_listed(found['back']) or 'nothing'}")
            if not found["back"] and found["minimum_usd"] != "0":
                out.print(f"by the agreement {found['minimum_usd']} USD come back at once, or more")


def netting(
    cycle: Annotated[int, typer.Argument(min=1, help="Number of the cycle.")],
    directory: Directory,
    save: Annotated[Path | None, typer.Option(help="Write the file here, and print nothing.")] = None,
    agent: AgentUrl = DEFAULT_AGENT,
) -> None:
    """Show the account's part of a cycle of netting: a file that `atomic-margin verify-netting` checks.

    It has your obligations and lines, the lines of your own party's accounts in the same groups, and nothing of others.
    """
    with plain_errors():
        found = ask(NettingShown, directory, agent, "GET", f"/v1/netting/{cycle}")["netting"]
        if save is None:
            print_json(found)
        else:
            replace_json(save, found)


def register(app: typer.Typer) -> None:
    """Add the commands to those of an institution."""
    for command in (post, release, substitute, withdraw, excess, netting):
        app.command()(command)


def _instruct(action: str, asset: str, quantity: int, directory: Path, agent: str, as_json: bool) -> None:
    with plain_errors():
        said = {"action": action, "asset": asset, "quantity": str(quantity)}
        found = ask(Booked, directory, agent, "POST", "/v1/collateral", said)
        if as_json:
            print_json(found)
        else:
            out.print(f"{'posted' if action == 'post' else 'withdrawn'}: {asset}={quantity}")


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    out.print(f"free now: {_listed(found['taken'])}")
    if found["given"]:
        out.print(f"posted for it: {_listed(found['given'])}")
    out.print(f"remains posted: {_listed(found['remaining']) or 'nothing'}")
    out.print("with a proof of initial margin" if found["proven"] else "without a proof: none was needed")


def _listed(held: dict[str, str]) -> str:
    return " ".join(f"{asset}={quantity}" for asset, quantity in held.items())


def _moves(entries: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        asset, _, quantity = entry.partition("=")
        if not asset or not (quantity.isascii() and quantity.isdigit()) or len(quantity) > 25 or not int(quantity):
            raise ConfigurationError(f"{entry!r} is no ASSET=QUANTITY with a whole number of smallest units above 0")
        if asset in found:
            raise ConfigurationError(f"{asset} is named twice")
        found[asset] = str(int(quantity))
    return found
