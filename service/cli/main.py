"""`atomic-margin`: the one command, with a sub-command for each user."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "demo": "Run one institution through four price ticks, everything real.",
    "serve": "Run the operator's server.",
    "institution": "The institution's side: identity, keys, agent, submissions.",
    "feed": "The price sources' side: rules, keys, signed prices.",
    "trust": "Write a trust file: the anchors of a verifier or an institution.",
    "verify": "Check an attestation bundle offline.",
    "audit": "Evaluate a stored run again, byte for byte.",
    "margin": "True margin of a book, integer margin, and the gap.",
    "gap": "Measure the gap over many books of every margin model.",
    "bench": "Time what has to be fast.",
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
        command = typer.main.get_command(import_module(f"atomic_margin.service.cli.{cmd_name}").app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    cls=_Lazy, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def atomic_margin() -> None:
    """Margin verification that never sees a position.

    Institutions encrypt their positions; the operator computes margin on the ciphertexts; zero-knowledge proofs show
    that collateral suffices; a verified breach settles atomically. Start with `atomic-margin demo`.
    """


def main() -> None:
    """Run the command line."""
    app(prog_name="atomic-margin")
