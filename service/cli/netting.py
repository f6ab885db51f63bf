"""`operator name-party` and `operator net`: whose accounts are netted, and a cycle of netting."""

from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.service.cli.calls import call
from atomic_margin.service.cli.output import plain_errors, print_json
from atomic_margin.service.http.tokens import read_token

Directory = Annotated[Path, typer.Option("--dir", help="The operator's folder, as `serve --dir` had it.")]
Address = Annotated[str, typer.Option("--operator", help="Address of the operator's server.")]
DEFAULT_OPERATOR = "http://127.0.0.1:8400"
TOKEN_FILE = "admin.token"  # noqa: S105  # the name of the file, not a token


def name_party(
    institution: Annotated[str, typer.Argument(help="The institution's name at the operator.")],
    directory: Directory,
    party: Annotated[str, typer.Option(help="Identifier of the legal party, such as its LEI.")],
    principal: Annotated[bool, typer.Option("--principal", help="Net over parties: you are the other side.")] = False,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Say which legal party an account is of, so that accounts of one party are netted with each other.

        atomic-margin operator name-party fund --party 5493001KJTIIGC8Y1R12 --dir operator-data

    The institution agrees by naming the same in each of its obligations.

    Exit status 0: the signed entry is printed. 1: refused, the problem document is printed. 2: nobody answered.
    """
    body = {"institution": institution, "party": party, "scope": "principal" if principal else "party"}
    _post(directory, operator, "name-party", "/v1/parties", body)


def net(
    date: Annotated[str, typer.Option(help="Settlement date, YYYY-MM-DD; what was promised until then is netted.")],
    directory: Directory,
    arrived: Annotated[
        list[str] | None,
        typer.Option(metavar="PARTY/ASSET[/DATE]", help="A net delivery that the custodian has, whole. Repeatable."),
    ] = None,
    principal: Annotated[bool, typer.Option("--principal", help="--arrived is of groups over parties.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show gross and net; enter nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Net what accounts promised until a day, and print gross and net of each party and asset.

        atomic-margin operator net --date 2026-11-27 --dry-run --dir operator-data

    A net delivery that is not named by --arrived did not arrive: its group's deliveries are undone, and its returns
    are paid in full. A cycle happens once; the same date again prints it again.

    Exit status 0: printed. 1: refused, the problem document is printed. 2: nobody answered.
    """
    scope = "principal" if principal else "party"
    groups = []
    for one in arrived or []:
        party, _, rest = one.partition("/")
        asset, _, day = rest.partition("/")
        groups.append({"scope": scope, "party": party, "asset": asset, "settles": day or date})
    body = {"settles": date, "arrived": groups, "dry_run": dry_run}
    _post(directory, operator, "net", "/v1/netting", body, table=not as_json)


def _post(directory: Path, operator: str, command: str, path: str, body: Any, table: bool = False) -> None:
    with plain_errors():
        answer = call(
            f"operator {command}",
            "POST",
            operator.rstrip("/") + path,
            token=read_token(directory / TOKEN_FILE),
            body=body,
            whom="the operator",
            advice="start the operator with `atomic-margin serve`, or give its address with --operator",
        )
        if table:
            _print_table(answer)
        else:
            print_json(answer)


def _print_table(cycle: Any) -> None:
    columns = ("party", "asset", "settles", "lines", "deliveries", "returns", "undone", "arrives", "leaves")
    rows = [columns, *(tuple(str(group[name]) for name in columns) for group in cycle["groups"])]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    typer.echo(f"cycle {cycle['cycle']} of {cycle['settles']}, in smallest units")
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
