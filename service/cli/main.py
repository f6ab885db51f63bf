"""`atomic-margin`: the one command, with a sub-command for each user."""

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import atomic_margin as package
from atomic_margin.service.cli import output
from atomic_margin.service.cli.output import EXIT_CLOSED, EXIT_INTERRUPTED, OURS, fail, fail_unexpected

COMMANDS = {
    "demo": "Run one institution through price ticks, everything real.",
    "demo-chain": "Settle on a chain of this machine that verifies the proofs.",
    "demo-custodians": "Have custodians open the book of a silent institution.",
    "init": "Make the folder of a party: keys, documents, options.",
    "serve": "Run the operator's server.",
    "worker": "Evaluate runs for an operator, on another machine.",
    "operator": "The operator's own calls: admit, deposit, accounts, ledger.",
    "institution": "The institution's side: identity, keys, agent, submissions.",
    "feed": "The price sources' side: rules, keys, signed prices.",
    "monitor": "Read all of an operator's log, and keep what contradicts itself.",
    "witness": "Cosign an operator's log, so that it has one history.",
    "custodian": "Hold shares of books, and open that of a silent institution.",
    "signer": "Attest for a vault on a chain what was verified here.",
    "trust": "Write a trust file: the anchors of a verifier or an institution.",
    "verify": "Check an attestation bundle or an archive offline.",
    "verify-default": "Replay a default offline: sales, loss, waterfall.",
    "verify-netting": "Check an account's lines of a netting cycle offline.",
    "archive": "Write all of an account into one signed file.",
    "chain": "Put a vault on a chain, or look at one.",
    "audit": "Evaluate a stored run again, byte for byte.",
    "report": "Notices, statements and totals, as JSON, page or PDF.",
    "margin": "Requirement and excess of a book, what-if, and the gap.",
    "gap": "Measure the gap over many books of every margin model.",
    "simulate": "Send invented accounts through a flash crash.",
    "bench": "Time what has to be fast.",
    "info": "Versions, extras, caches and machine.",
}


class _Lazy(TyperGroup):
    """Imports a command's module only when that command is asked for.

    Contexts and commands are untyped here: typer brings click's classes along under a name of its own.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(f"atomic_margin.service.cli.{cmd_name.replace('-', '_')}").app)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Ctrl-C has a status of its own: 1 would say that something was refused."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            raise SystemExit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            raise SystemExit(_closed()) from None
        except OURS as error:
            if output.debugging:
                raise
            fail(str(error))
        except Exception as error:
            if output.debugging or type(error).__module__.startswith(("typer", "click")):
                raise
            fail_unexpected(error)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(cls=_Lazy, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"atomic-margin {package.__version__}")
        raise typer.Exit


@app.callback()
def atomic_margin(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error nobody foresaw comes from.")] = False,
) -> None:
    """Margin verification that never sees a position.

    Institutions encrypt their positions; the operator computes margin on the ciphertexts; zero-knowledge proofs show
    that collateral suffices; a verified breach settles atomically. Start with `atomic-margin demo`.
    """
    output.debugging = debug


def main() -> None:
    """Run the command line. Output that nobody reads any more ends it in silence."""
    try:
        try:
            app(prog_name="atomic-margin")
        finally:
            # Here, where a closed pipe can still be told: Python itself would complain at its very end.
            sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(_closed())


def _closed() -> int:
    """Send what is still to be written nowhere, and return the status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_CLOSED
