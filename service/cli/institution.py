"""`atomic-margin institution`: identity, agent process, submissions and figures of an institution."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.margin.market.columns import ColumnChoice
from atomic_margin.service.cli import (
    institution_chain,
    institution_collateral,
    institution_custody,
    institution_default,
    institution_entries,
    institution_identity,
    institution_shown,
    log_options,
    tls,
)
from atomic_margin.service.cli.agent_calls import DEFAULT_AGENT, TOKEN_FILE, AgentUrl, Directory, ask
from atomic_margin.service.cli.configuration import ConfigFile, addressed, configured
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import EXIT_PERMANENT, EXIT_REFUSED, err, fail, out, plain_errors, print_json
from atomic_margin.service.cli.scaffolds import add_keys
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document
from atomic_margin.service.http.tokens import load_token
from atomic_margin.service.logs import LogFormat, LogLevel
from atomic_margin.service.protocol.agent_messages import (
    Adopted,
    AskedToGiveUp,
    KeysReplaced,
    LossesSettled,
    Promised,
    ReaderNames,
    ReaderToken,
)
from atomic_margin.service.protocol.agreement_messages import AskedToAmend
from atomic_margin.service.protocol.dispute_messages import SignedOf
from atomic_margin.service.protocol.names import require_name
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile

app = typer.Typer(
    cls=addressed("institution", "agent"),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="The institution's side.",
)


@app.command()
def init(directory: Directory) -> None:
    """Make the institution's identity key if need be, and print its public half, which the operator admits."""
    with plain_errors():
        print_json({"identity": Identity.load_or_create(directory / "identity.key").public_key})


@app.command(cls=configured("institution"))
def serve(
    directory: Directory,
    name: Annotated[str, typer.Option(help="The institution's name at the operator.")],
    operator: Annotated[str, typer.Option(help="Address of the operator's server.")],
    trust: Annotated[Path, typer.Option(help="Pinned operator, price rules and terms; see `atomic-margin trust`.")],
    gross_limit: Annotated[int, typer.Option(help="Gross limit of submissions, whole USD; it is public.", min=1)],
    max_tick_age: Annotated[
        str,
        typer.Option(
            metavar="SECONDS|unbounded",
            help="How old prices may be, by this machine's clock, for a run to be answered; unbounded for a history "
            "that is played back.",
        ),
    ],
    columns: Annotated[
        Path | None,
        typer.Option(help="Underlyings, expiries and entries that commitments cover, as JSON; public. All by default."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the agent's own loopback API.", min=1, max=65535)] = 8401,
    ca: tls.Authorities = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(help="URL=KEY of a witness that is told what the operator does not take; repeatable."),
    ] = None,
    log_format: log_options.Format = LogFormat.TEXT,
    log_level: log_options.Level = LogLevel.INFO,
    debug: log_options.Debug = False,
    config: ConfigFile = None,
) -> None:
    """Run the agent: enrol with fresh FHE keys if need be, then answer every margin run until stopped.

    Its API on loopback takes portfolios and shows private figures; see /docs there. It follows the operator's events,
    waits while the operator is away or has not admitted the institution, and logs one line for what happens.

    Exit status 0: stopped. 2: a file, an option, the folder or the port is wrong or taken. 3: what no waiting mends, in
    one line with what to do: other terms or keys than pinned, or a history that contradicts itself.
    """
    needs_extras("institution serve", "fhe", "service")
    from atomic_margin.service.http import serving
    from atomic_margin.service.http.limit_table import USUAL_LIMITS
    from atomic_margin.service.http.tls import trusting
    from atomic_margin.service.institution.agent import Agent
    from atomic_margin.service.institution.app import AgentProcess, create_app
    from atomic_margin.service.institution.directory_lock import DirectoryLock
    from atomic_margin.service.institution.settings import AgentSettings

    log_options.begin(log_format, log_level, debug)
    with plain_errors():
        lock = DirectoryLock(directory)
        # Before anything slow: somebody else may listen there. Never another address: the API shows what only the
        # institution may know.
        listener = serving.listen("127.0.0.1", port)
        require_name(name)
        token = load_token(directory / TOKEN_FILE)
        pins, bound = read_document(trust, TrustFile.parse), _seconds(max_tick_age)
        choice = None if columns is None else read_document(columns, ColumnChoice.parse)
        settings = AgentSettings(
            directory, name, operator, pins, gross_limit, bound, columns=choice, verify=trusting(ca)
        )
        deliver = _deliveries(directory, pins, witness or [])

    def open_agent(on_stage: Callable[[str], None]) -> Agent:
        return Agent(settings, on_stage, deliver, lock)

    def end() -> None:
        server.should_exit = True

    process = AgentProcess(open_agent, follow=True, on_end=end)
    server = serving.server_of(create_app(process, token), USUAL_LIMITS)
    err.print(f"agent of {name} on 127.0.0.1:{serving.port_of(listener)}, data in {directory}", soft_wrap=True)
    serving.run(server, listener)
    if process.ended is not None:
        fail(process.ended, EXIT_PERMANENT)


@app.command()
def settle(
    directory: Directory,
    asset: Annotated[str, typer.Option(help="What leaves, of the collateral schedule.")],
    quantity: Annotated[int, typer.Option(min=1, help="Of it, in smallest units; posted.")],
    usd: Annotated[
        int | None,
        typer.Option(min=1, help="Whole USD of losses; by default all that it is worth at the newest prices."),
    ] = None,
    agent: AgentUrl = DEFAULT_AGENT,
) -> None:
    """Settle losses of the book in force: posted collateral leaves to the operator, and the book's cash rises.

    The running agent submits the same book with as much more `cash`; say that in the portfolio you submit next. It is
    done while no run is open or due, at the newest tick; what is refused is not tried again by itself.
    """
    asked = {"asset": asset, "quantity": str(quantity)} | ({} if usd is None else {"usd": str(usd)})
    with plain_errors():
        print_json(ask(LossesSettled, directory, agent, "POST", "/v1/losses", asked))


@app.command()
def promise(
    direction: Annotated[str, typer.Argument(help="`delivery`: you bring it. `return`: free collateral leaves.")],
    directory: Directory,
    asset: Annotated[str, typer.Option(help="Of the collateral schedule.")],
    quantity: Annotated[int, typer.Option(min=1, help="Of it, in smallest units.")],
    settles: Annotated[str, typer.Option(help="The day, YYYY-MM-DD.")],
    party: Annotated[str, typer.Option(help="Legal party that you agree to be netted as.")],
    principal: Annotated[bool, typer.Option("--principal", help="Over parties, by the operator.")] = False,
    agent: AgentUrl = DEFAULT_AGENT,
) -> None:
    """Promise to bring an asset by a day, or to take free collateral on it; the operator's cycle nets it.

    A return is deducted from free collateral at once. A delivery counts nowhere before it arrived.
    """
    asked = {"direction": direction, "asset": asset, "quantity": str(quantity), "settles": settles, "party": party}
    asked |= {"scope": "principal"} if principal else {}
    with plain_errors():
        print_json(ask(Promised, directory, agent, "POST", "/v1/obligations", asked))


institution_collateral.register(app)
institution_shown.register(app)
institution_identity.register(app)
institution_default.register(app)
institution_custody.register(app)
institution_chain.register(app)
app.command()(institution_entries.entries)
app.command()(institution_entries.export)


@app.command("rotate-keys")
def rotate_keys(directory: Directory, agent: AgentUrl = DEFAULT_AGENT) -> None:
    """Replace the FHE keys through the running agent; tell verifiers the hash that is printed.

    The book is brought under the new keys with the same commitments. The agent does this by itself after an alarm.
    """
    with plain_errors():
        replaced = ask(KeysReplaced, directory, agent, "POST", "/v1/keys")
        add_keys(directory, replaced["key_commitments"])
        print_json(replaced)


@app.command()
def adopt(
    directory: Directory,
    agent: AgentUrl = DEFAULT_AGENT,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take over documents with this institution's signature that its directory does not know.

    For a directory that was restored from an older backup, when no newer one is left. Books among them stay closed to
    it: submit again. If nobody here signed them, somebody has the identity key; then do not adopt them.
    """
    if not yes:
        typer.confirm("Did this institution itself sign everything that the operator's entries have of it?", abort=True)
    with plain_errors():
        print_json(ask(Adopted, directory, agent, "POST", "/v1/adopt"))


@app.command("give-up")
def give_up(
    directory: Directory,
    reason: Annotated[str, typer.Option(help="Why, for the operator and whoever is shown the account's history.")],
    agent: AgentUrl = DEFAULT_AGENT,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Ask the operator to give up the book in force, which nobody can open any more: the last way out.

    For a directory that came from an older backup, after `adopt`, when a run on a book is due or owed that it cannot
    open. If the operator agrees, the book goes, the one that waits too, and what is owed on them; the account is active
    and keeps its collateral. Then submit again: nothing can be withdrawn before that book is proven covered.
    """
    if not yes:
        typer.confirm("Is no backup left from which the book in force could be opened?", abort=True)
    with plain_errors():
        print_json(ask(AskedToGiveUp, directory, agent, "POST", "/v1/giving-up", {"reason": reason}))


@app.command()
def dispute(
    subject: Annotated[
        str, typer.Argument(metavar="HASH", help="The entry that you dispute, as `institution entries` prints it.")
    ],
    directory: Directory,
    kind: Annotated[str, typer.Option(help="amount, eligibility, valuation, settlement or other.")],
    reason: Annotated[str, typer.Option(help="Why, in one line, for the operator and whoever reads the history.")],
    amount: Annotated[str | None, typer.Option(help="USD in dispute.")] = None,
    undisputed: Annotated[str | None, typer.Option(help="USD of it that you agree to.")] = None,
    agent: AgentUrl = DEFAULT_AGENT,
) -> None:
    """Dispute an entry of the account: a run, a call, a settlement, a deposit.

    Nothing leaves the account until the dispute is resolved, withdrawn or lapsed, not even to you; runs, answers, calls
    and liquidations go on. One is open at a time, and three may begin at prices of one day.
    """
    body: dict[str, str] = {"subject": subject, "kind": kind, "reason": reason}
    body |= {} if amount is None else {"amount": amount}
    body |= {} if undisputed is None else {"undisputed": undisputed}
    with plain_errors():
        print_json(ask(SignedOf, directory, agent, "POST", "/v1/disputes", body))


@app.command()
def resolve(
    directory: Directory,
    outcome: Annotated[str | None, typer.Option(help="upheld, rejected or agreed; nothing: as is proposed.")] = None,
    amount: Annotated[str | None, typer.Option(help="USD, for the outcome agreed.")] = None,
    words: Annotated[
        str | None, typer.Option(help="What both say about it; it stays in the account's history.")
    ] = None,
    ticks: Annotated[int, typer.Option(help="For so many ticks the offer binds you.", min=0, max=100_000)] = 1000,
    agent: AgentUrl = DEFAULT_AGENT,
) -> None:
    """Offer what ends the open dispute, or sign what the operator proposes. The operator's people agree, or do not.

    You are bound to an offer until its last tick; another one is signed after it.
    """
    body: dict[str, object] = {"ticks": str(ticks)}
    with plain_errors():
        if (outcome is None) != (words is None) or (amount is not None and outcome is None):
            raise ConfigurationError("--outcome and --words go together, --amount with them")
        if outcome is not None:
            body["offer"] = {"outcome": outcome, "words": words} | ({} if amount is None else {"amount": amount})
        print_json(ask(SignedOf, directory, agent, "POST", "/v1/disputes/resolution", body))


@app.command("withdraw-dispute")
def withdraw_dispute(directory: Directory, agent: AgentUrl = DEFAULT_AGENT) -> None:
    """Withdraw the open dispute: what it held may leave again."""
    with plain_errors():
        print_json(ask(SignedOf, directory, agent, "POST", "/v1/disputes/withdrawal"))


@app.command()
def amend(
    agreement: Annotated[Path, typer.Argument(help="The terms that are to hold, as JSON.")],
    directory: Directory,
    ticks: Annotated[int, typer.Option(help="For so many ticks you are bound to it.", min=0, max=100_000)] = 100,
    agent: AgentUrl = DEFAULT_AGENT,
) -> None:
    """Sign other terms of collateral, and ask the operator to agree. Its people do, or do not.

    You are bound until the last of the ticks. Once the operator agrees, hand the file to everybody who verifies your
    runs, for their trust files: `atomic-margin trust --agreement NAME=FILE`.
    """
    with plain_errors():
        body = {"agreement": read_document(agreement, CollateralAgreement.parse).canonical(), "ticks": str(ticks)}
        print_json(ask(AskedToAmend, directory, agent, "POST", "/v1/amendment", body))


@app.command()
def readers(
    directory: Directory,
    agent: AgentUrl = DEFAULT_AGENT,
    add: Annotated[str | None, typer.Option(metavar="NAME", help="Let somebody read; prints the token, once.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="HEX", help="With --add: their Ed25519 public key, instead of a token.")
    ] = None,
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="Let somebody read no more.")] = None,
) -> None:
    """Say who may read this institution's bundles at the operator, or change it.

    Who has a key of their own signs requests to the operator's /v1/attestations by it. A token does it too: hand it
    over by a way of your own.
    """
    with plain_errors():
        if add is not None and remove is not None:
            raise ConfigurationError("--add and --remove go one at a time")
        if key is not None and add is None:
            raise ConfigurationError("--key goes with --add: whose key is it?")
        if add is not None:
            named = {"name": add} if key is None else {"name": add, "public_key": key}
            print_json(ask(ReaderToken, directory, agent, "POST", "/v1/readers", named))
        elif remove is not None:
            print_json(ask(ReaderNames, directory, agent, "DELETE", f"/v1/readers/{remove}"))
        else:
            print_json(ask(ReaderNames, directory, agent, "GET", "/v1/readers"))


@app.command()
def history(directory: Directory) -> None:
    """Print every entry of the account with what shows that it was legal, for `atomic-margin monitor --released`.

    It shows books in force and waiting by hash, posted collateral, runs and what was owed, and the documents of all
    that but deposits, withdrawals and lists of readers; free collateral before a liquidation alone. The agent need not
    run.
    """
    needs_extras("institution history", "service")
    from atomic_margin.service.institution.release import released_of

    with plain_errors():
        print_json(released_of(directory))


@app.command("compare-audit")
def compare_audit(
    outputs: Annotated[Path, typer.Argument(help="Folder that `atomic-margin audit RUN --outputs` wrote.")],
    directory: Directory,
) -> None:
    """Say whether an audit's outputs decrypt to what the recorded ones decrypt to; no value is shown.

    Exit status 0: they agree. 1: they do not, or an error is larger than honest evaluation leaves. 2: nothing was
    decided. Replace your keys before you tell anybody that they differ: the words are somebody else's choice.
    """
    needs_extras("institution compare-audit", "fhe", "service")
    from atomic_margin.service.audit.decrypt import compare

    with plain_errors():
        found = compare(outputs, directory)
    for comparison in found:
        out.print(f"{'agrees' if comparison.agree else 'differs'}: {comparison.function}: {comparison.reason}")
    if not all(comparison.agree for comparison in found):
        err.print("replace the keys before you tell anybody: `atomic-margin institution rotate-keys`")
        raise typer.Exit(EXIT_REFUSED)


def _deliveries(directory: Path, pins: TrustFile, entries: list[str]) -> Callable[[str], None] | None:
    from atomic_margin.service.institution.deliveries import Deliveries

    if not entries:
        return None
    if pins.log is None:
        raise ConfigurationError("--witness asks for receipts for a log, and the trust file names none")
    parted = [entry.partition("=") for entry in entries]
    if any(not url.startswith(("http://", "https://")) or not key for url, _, key in parted):
        raise ConfigurationError("--witness takes URL=KEY, with the key that the witness prints at its start")
    return Deliveries(directory, pins.log, [(url, key) for url, _, key in parted])


def _seconds(text: str) -> int | None:
    if text == "unbounded":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise ConfigurationError(f"--max-tick-age takes whole seconds above 0, or unbounded; got {text!r}")
    return int(text)
