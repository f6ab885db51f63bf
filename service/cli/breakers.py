"""`operator halt`, `operator resume` and `operator breakers`: the kill switch, and what stops at the moment."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from atomic_margin.service.cli.calls import call
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.http.tokens import read_token
from atomic_margin.service.protocol.account.halt_documents import LONGEST_TICKS

Directory = Annotated[Path, typer.Option("--dir", help="The operator's folder, as `serve --dir` had it.")]
Address = Annotated[str, typer.Option("--operator", help="Address of the operator's server.")]
Reason = Annotated[str, typer.Option(help="One line of at most 64 characters; it stays in every account's history.")]
DEFAULT_OPERATOR = "http://127.0.0.1:8400"
TOKEN_FILE = "admin.token"  # noqa: S105  # the name of the file, not a token


def halt(
    reason: Reason,
    directory: Directory,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="settlements, leaving or runs. Repeatable.", show_default="all three"),
    ] = None,
    ticks: Annotated[int, typer.Option(min=0, max=LONGEST_TICKS, help="Over by itself after so many ticks.")] = 60,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Halt every account at once, by one signed document.

        atomic-margin operator halt --reason "custodian unreachable" --dir operator-data
        atomic-margin operator halt --reason "wrong model" --scope settlements --ticks 15 --dir operator-data

    Settlements wait, nothing leaves, no run begins and no time to answer is over. Answers, proofs, deposits and books
    are taken. Halting again replaces the halt: to halt for longer, or something else.

    Exit status 0: halted, the signed document is printed. 1: refused, the problem document is printed. 2: nobody
    answered.
    """
    body: dict[str, object] = {"reason": reason, "ticks": str(ticks)} | ({} if scope is None else {"scope": scope})
    print_json(_asked(directory, operator, "halt", "POST", "/v1/breakers/halts", body))


def resume(reason: Reason, directory: Directory, operator: Address = DEFAULT_OPERATOR) -> None:
    """End the halt of every account. Breaches that waited are settled, in the order of their answers.

        atomic-margin operator resume --reason "custodian answers again" --dir operator-data

    Exit status 0: resumed, the signed document is printed. 1: refused, the problem document is printed. 2: nobody
    answered.
    """
    print_json(_asked(directory, operator, "resume", "POST", "/v1/breakers/resumes", {"reason": reason}))


def breakers(
    directory: Directory,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Print what stops at the moment: a staged tick, a halt, and the breaches that wait.

        atomic-margin operator breakers --dir operator-data

    Exit status 0: printed. 1: refused, the problem document is printed. 2: nobody answered.
    """
    view = _asked(directory, operator, "breakers", "GET", "/v1/breakers")
    if as_json:
        print_json(view)
        return
    staged, halted = view["staged"], view["halt"]
    table = Table("breaker", "now")
    table.add_row("prices", "good" if staged is None else f"tick {staged['body']['sequence']} is staged")
    if halted is None:
        table.add_row("halt", "none")
    else:
        body = halted["body"]
        said = f"{', '.join(body['scope'])} until after tick {body['until']}: {body['reason']}"
        table.add_row(f"halt {body['number']}", escape(said))
    for one in view["waiting"]:
        said = "settles now" if one["due"] else "waits"
        table.add_row(f"breach {one['run_id']}", f"{said}, {one['top_up_usd']} USD, since {one['since']}")
    if not view["waiting"]:
        table.add_row("breaches", "none waits")
    out.print(table)


def _asked(directory: Path, operator: str, command: str, method: str, path: str, body: Any = None) -> Any:
    with plain_errors():
        return call(
            f"operator {command}",
            method,
            operator.rstrip("/") + path,
            token=read_token(directory / TOKEN_FILE),
            body=body,
            whom="the operator",
            advice="start the operator with `atomic-margin serve`, or give its address with --operator",
        )
