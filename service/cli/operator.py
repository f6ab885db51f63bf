"""`atomic-margin operator`: what the operator's staff ask of their own running server, with its admin token."""

import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from atomic_margin.margin.market.universe import Universe
from atomic_margin.service.cli import (
    breakers,
    maturities,
    netting,
    operator_backup,
    operator_holds,
    operator_keys,
    operator_lists,
    operator_openings,
    operator_pointer,
    operator_prune,
    operator_rail,
    tls,
)
from atomic_margin.service.cli.admitting import admit
from atomic_margin.service.cli.calls import call
from atomic_margin.service.cli.configuration import addressed
from atomic_margin.service.cli.defaults import add_defaults
from atomic_margin.service.cli.operator_lists import DEFAULT_OPERATOR, TOKEN_FILE, Address, Directory
from atomic_margin.service.cli.output import fail, plain_errors, print_json
from atomic_margin.service.cli.stored import Database, open_store
from atomic_margin.service.errors import ConfigurationError, HistoryDiffers
from atomic_margin.service.files import read_document, read_json
from atomic_margin.service.http.tokens import read_token

app = typer.Typer(
    cls=addressed("operator", "operator"),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="The operator's own calls on its running server.",
)

Name = Annotated[str, typer.Argument(help="The institution's name at the operator.")]

KEY_FILE = "operator.key"

app.command()(admit)
operator_lists.register(app)
operator_rail.register(app)


@app.command()
def revise(
    universe: Annotated[Path, typer.Argument(help="The new universe, as JSON.")],
    until: Annotated[
        str,
        typer.Option(help="Last moment, by the time of prices, at which books in the one before are taken, in UTC."),
    ],
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """List another universe: instruments that are new, without those that have expired.

        atomic-margin operator revise universe-2027q1.json --until 2026-12-31T08:00:00Z --dir operator-data

    Every account is told, and agents carry their books over by themselves: lines keep their trade prices, what has
    expired becomes cash. Give notice: until then both are in force, and every tick has to price both.

    Exit status 0: announced. 1: refused, the problem document is printed. 2: nothing was asked, or nobody answered.
    """
    with plain_errors():
        document = read_document(universe, Universe.parse)
    body = {"universe": document.canonical(), "until": until}
    _print(directory, operator, "revise", "POST", "/v1/universes", body)


@app.command()
def deposit(
    institution: Name,
    asset: Annotated[str, typer.Argument(help="An asset of the collateral schedule.")],
    quantity: Annotated[str, typer.Argument(help="What arrived, in smallest units.")],
    reference: Annotated[str, typer.Option(help="The custodian's reference; one is booked once.")],
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Book collateral that arrived for an institution, as free. The institution itself moves it to margin.

        atomic-margin operator deposit fund USDC 1000000000000 --reference custodian-0017 --dir operator-data

    Exit status 0: booked. 1: refused, the problem document is printed. 2: nothing was asked, or nobody answered.
    """
    body = {"institution": institution, "asset": asset, "quantity": quantity, "reference": reference}
    _print(directory, operator, "deposit", "POST", "/v1/deposits", body)


@app.command()
def account(institution: Name, directory: Directory, operator: Address = DEFAULT_OPERATOR) -> None:
    """Print state, balances, next sequence numbers and newest runs of an account.

    atomic-margin operator account fund --dir operator-data
    """
    _print(directory, operator, "account", "GET", f"/v1/institutions/{quote(institution, safe='')}")


@app.command(name="give-up")
def give_up(
    institution: Name,
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
    yes: Annotated[
        str | None, typer.Option(metavar="HASH", help="Agree to it: `giving_up` of what was printed.")
    ] = None,
) -> None:
    """Print which book an institution asks to give up, for it can open it no more; or agree to that.

        atomic-margin operator give-up fund --dir operator-data
        atomic-margin operator give-up fund --yes HASH --dir operator-data

    If you agree, its book goes, the one that waits too, and what is open or owed on them: nobody will say whether it
    was covered. The account is active, keeps its collateral, and nothing can be withdrawn before another book was
    proven covered. It is a credit decision, and everybody who is shown the account's history sees it.

    Exit status 0: the question, or the signed entry, is printed. 1: refused, the problem document is printed. 2:
    nothing was asked, or nobody answered.
    """
    if yes is None:
        path = f"/v1/institutions/{quote(institution, safe='')}/giving-up"
        _print(directory, operator, "give-up", "GET", path)
    else:
        body = {"institution": institution, "giving_up": yes}
        _print(directory, operator, "give-up", "POST", "/v1/giving-up", body)


@app.command()
def disputes(
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
    institution: Annotated[
        str | None, typer.Option(help="Of one institution, with what happened to those that it had.")
    ] = None,
) -> None:
    """Print every dispute that holds an account, and what was proposed and offered to end it, as JSON.

        atomic-margin operator disputes --dir operator-data
        atomic-margin operator disputes --institution fund --dir operator-data

    Exit status 0: printed. 1: refused, the problem document is printed. 2: nothing was asked, or nobody answered.
    """
    path = "/v1/disputes" if institution is None else f"/v1/institutions/{quote(institution, safe='')}/disputes"
    _print(directory, operator, "disputes", "GET", path)


@app.command()
def resolve(
    institution: Name,
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
    yes: Annotated[
        str | None, typer.Option(metavar="HASH", help="Agree to what it offered: `resolution` of what was printed.")
    ] = None,
    propose: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="Say by what you would end this dispute; with --outcome and --words."),
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="upheld, rejected or agreed.")] = None,
    amount: Annotated[str | None, typer.Option(help="USD, for the outcome agreed.")] = None,
    words: Annotated[
        str | None, typer.Option(help="What both say about it; it stays in the account's history.")
    ] = None,
    lapse: Annotated[
        str | None, typer.Option(metavar="HASH", help="End this dispute alone, after its longest time.")
    ] = None,
) -> None:
    """Agree to what an institution offers to end its dispute by, propose it something, or let the dispute lapse.

        atomic-margin operator resolve fund --propose HASH --outcome agreed --amount 800 --words "..." --dir DIR
        atomic-margin operator resolve fund --yes HASH --dir operator-data
        atomic-margin operator resolve fund --lapse HASH --dir operator-data

    What you propose binds nobody. What both sign ends the dispute and moves nothing: pay an amount that was agreed on
    as any other. A dispute lapses when the newest prices are 14 days younger than those that it was entered under.

    Exit status 0: done, and printed. 1: refused, the problem document is printed. 2: nothing was asked, or nobody
    answered.
    """
    with plain_errors():
        if sum(one is not None for one in (yes, propose, lapse)) != 1:
            raise ConfigurationError("say one of --yes, --propose and --lapse, each with a hash that was printed")
        said = {"outcome": outcome, "amount": amount, "words": words}
        given = {name: value for name, value in said.items() if value is not None}
        if propose is None and given:
            raise ConfigurationError("--outcome, --amount and --words go with --propose")
    body: dict[str, object] = {"institution": institution, **given}
    if yes is not None:
        _print(directory, operator, "resolve", "POST", "/v1/disputes/resolutions", body | {"resolution": yes})
    elif propose is not None:
        _print(directory, operator, "resolve", "POST", "/v1/disputes/proposals", body | {"dispute": propose})
    else:
        _print(directory, operator, "resolve", "POST", "/v1/disputes/lapses", body | {"dispute": lapse})


@app.command()
def amend(
    institution: Name,
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
    yes: Annotated[
        str | None, typer.Option(metavar="HASH", help="Agree to it: `amendment` of what was printed.")
    ] = None,
) -> None:
    """Print which terms of collateral, or which custodians, an institution signed and asks for; or agree to them.

        atomic-margin operator amend fund --dir operator-data
        atomic-margin operator amend fund --yes HASH --dir operator-data

    Not while a run of its account is open, due or owed. Runs from then on count the new terms; books from then on are
    dealt to the new custodians.

    Exit status 0: the question, or the signed entry, is printed. 1: refused, the problem document is printed. 2:
    nothing was asked, or nobody answered.
    """
    if yes is None:
        path = f"/v1/institutions/{quote(institution, safe='')}/amendment"
        _print(directory, operator, "amend", "GET", path)
    else:
        _print(directory, operator, "amend", "POST", "/v1/amendments", {"institution": institution, "amendment": yes})


@app.command(name="void-tick")
def void_tick(
    number: Annotated[int, typer.Argument(min=1, help="Number of the tick: the next one.")],
    directory: Directory,
    prices: Annotated[
        Path | None, typer.Option(help="What `feed combine` would take, as a set: what sources did sign.")
    ] = None,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Use up the next tick's number without prices, when no tick can be made of what sources signed for it.

        atomic-margin operator void-tick 17 --prices prices.json --dir operator-data

    A source signs one document for a number, so a set that was refused stays refused unless more sources sign. No run
    is scheduled; sources then sign the number after it. Refused if the prices do make a tick.

    Exit status 0: recorded, the signed tick is printed. 1: refused, the problem document is printed. 2: nothing was
    asked, or nobody answered.
    """
    with plain_errors():
        empty = {"format": "atomic-margin/prices/2", "sequence": str(number), "prices": []}
        body = empty if prices is None else read_json(prices)
    _print(directory, operator, "void-tick", "POST", "/v1/ticks/void", body)


@app.command(name="change-rules")
def change_rules(
    signed: Annotated[list[Path], typer.Argument(help="What `feed change-rules` printed, one file a source.")],
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Have other sources, threshold or bounds from a tick on, with the signatures of the sources there are now.

        atomic-margin operator change-rules a.json b.json --dir operator-data

    It takes as many sources as the rules in force require, which sign the same change. Every tick from then on carries
    it, so nobody pins anything new.

    Exit status 0: it waits for its number. 1: refused, the problem document is printed. 2: nothing was asked, or nobody
    answered.
    """
    with plain_errors():
        body = {"signed": [read_json(path) for path in signed]}
    _print(directory, operator, "change-rules", "POST", "/v1/price-rules", body)


@app.command()
def replay(
    directory: Directory,
    check: Annotated[bool, typer.Option("--check", help="Compare, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write what differs, without asking again.")] = False,
    database: Database = None,
) -> None:
    """Rebuild every account from its entries, and compare what is stored beside them.

        atomic-margin operator replay --check --dir operator-data

    Compared are the accounts' states, the ledger's balances, the states of runs, and every entry with its document and
    its leaf of the log; the count of each is printed. Without --check the columns of accounts are written anew from the
    entries, if these hold, and the accounts that changed are printed. No running server is asked; one that runs waits.
    A long history of several accounts is replayed by as many processes as there are cores.

    Exit status 0: all agrees, or is written. 1: the first difference is named. 2: nothing was read; or say --yes.
    """
    from atomic_margin.service.operator.replay import check as compare
    from atomic_margin.service.operator.replay import rewrite
    from atomic_margin.service.protocol.signing import Identity

    with plain_errors():
        if not (directory / KEY_FILE).is_file():
            raise ConfigurationError(f"{directory / KEY_FILE} is not there; --dir is the folder of `serve --dir`")
        if not check and not yes:
            raise ConfigurationError("this writes the states of accounts anew; look with --check, then say --yes")
        operator = Identity.load_or_create(directory / KEY_FILE).public_key
        cores = len(os.sched_getaffinity(0))
        store = open_store(directory, database)
        try:
            with store.unit_of_work() as session:
                if check:
                    found: dict[str, Any] = compare(session, operator, cores)._asdict()
                else:
                    found = {"written": rewrite(session, operator, cores)}
        except HistoryDiffers as difference:
            fail(str(difference), 1)
        finally:
            store.close()
        print_json(found)


app.add_typer(operator_keys.app, name="key")
app.add_typer(operator_pointer.app, name="pointer")
app.command(name="name-party")(netting.name_party)
app.command()(netting.net)
app.command()(maturities.mature)
app.command()(breakers.halt)
app.command()(breakers.resume)
app.command(name="breakers")(breakers.breakers)
operator_holds.register(app)
operator_openings.register(app)
app.command()(operator_prune.prune)
app.command()(operator_backup.backup)
app.command()(operator_backup.restore)


def _print(directory: Path, operator: str, command: str, method: str, path: str, body: Any = None) -> None:
    with plain_errors():
        answer = call(
            f"operator {command}",
            method,
            operator.rstrip("/") + path,
            token=read_token(directory / TOKEN_FILE),
            body=body,
            whom="the operator",
            advice="start the operator with `atomic-margin serve`, or give its address with --operator",
        )
        print_json(answer)


add_defaults(app)
tls.take_authorities(app)
