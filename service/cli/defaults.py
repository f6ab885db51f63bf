"""A default from its operator's side: `operator fund`, `realise`, `agree-loss`, `close-out`, `waterfall`."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from atomic_margin.service.cli.calls import call
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import replace_json
from atomic_margin.service.http.tokens import read_token

Directory = Annotated[Path, typer.Option("--dir", help="The operator's folder, as `serve --dir` had it.")]
Address = Annotated[str, typer.Option("--operator", help="Address of the operator's server.")]
Name = Annotated[str, typer.Argument(help="The institution's name at the operator.")]
DEFAULT_OPERATOR = "http://127.0.0.1:8400"
TOKEN_FILE = "admin.token"  # noqa: S105  # the name of the file, not a token
SHOWN = {
    "margin": "defaulter's margin",
    "contribution": "defaulter's contribution",
    "capital": "operator's capital",
    "mutual": "fund, others pro rata",
}
"""How the table calls the layers."""


def add_defaults(app: typer.Typer) -> None:
    """Add the commands about defaults to those of the operator."""
    for command, name in (
        (fund, "fund"), (realise, "realise"), (agree_loss, "agree-loss"), (close_out, "close-out"),
        (waterfall, "waterfall"),
    ):  # fmt: skip
        app.command(name=name)(command)


def fund(
    quantity: Annotated[str, typer.Argument(help="What arrived, in smallest units of the rules' cash.")],
    reference: Annotated[str, typer.Option(help="The custodian's reference; one is booked once.")],
    directory: Directory,
    institution: Annotated[str | None, typer.Option(help="Whose contribution it is.")] = None,
    capital: Annotated[bool, typer.Option("--capital", help="It is the operator's own.")] = False,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Book cash for the guarantee fund: an institution's contribution, or the operator's capital.

        atomic-margin operator fund 1000000000 --institution fund --reference custodian-0018 --dir operator-data
        atomic-margin operator fund 5000000000 --capital --reference bank-0003 --dir operator-data

    A contribution is an entry of the institution's account, under the waterfall rules that `serve --waterfall` has.

    Exit status 0: booked. 1: refused, the problem document is printed. 2: nothing was asked, or nobody answered.
    """
    with plain_errors():
        if (institution is None) != capital:
            raise ConfigurationError("say whose it is: --institution NAME, or --capital")
    body = {"quantity": quantity, "reference": reference} | ({} if capital else {"institution": institution})
    print_json(_asked(directory, operator, "fund", "POST", "/v1/fund", body))


def realise(
    institution: Name,
    asset: Annotated[str, typer.Argument(help="What was sold, of what is segregated.")],
    quantity: Annotated[str, typer.Argument(help="Of it, in smallest units.")],
    proceeds: Annotated[str, typer.Argument(help="What it brought in, in smallest units of the rules' cash.")],
    reference: Annotated[str, typer.Option(help="Of the trade; one is booked once.")],
    directory: Directory,
    reason: Annotated[str, typer.Option(help="For the institution and whoever is shown the default.")] = "stage",
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Book one stage of a liquidation: a part of what is segregated was sold.

        atomic-margin operator realise fund BTC 50000000 38200000000 --reference trade-0017 --dir operator-data

    Refused: under the limit of the rules at the newest tick; more than a stage's share; beyond the proven top-up or,
    once both sides signed a loss, beyond that.

    Exit status 0: booked, the signed entry is printed. 1: refused, the problem document is printed. 2: nothing was
    asked, or nobody answered.
    """
    body = {
        "institution": institution,
        "asset": asset,
        "quantity": quantity,
        "proceeds": proceeds,
        "reference": reference,
        "reason": reason,
    }
    print_json(_asked(directory, operator, "realise", "POST", "/v1/sales", body))


def agree_loss(
    institution: Name,
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
    yes: Annotated[
        str | None, typer.Option(metavar="HASH", help="Agree to it: `agreement` of what was printed.")
    ] = None,
) -> None:
    """Print the loss that an institution in default signed; or agree to it.

        atomic-margin operator agree-loss fund --dir operator-data
        atomic-margin operator agree-loss fund --yes HASH --dir operator-data

    The entry is your signature. From then on collateral is sold up to that loss, and `close-out` ends the default.

    Exit status 0: the loss, or the signed entry, is printed. 1: refused, the problem document is printed. 2: nothing
    was asked, or nobody answered.
    """
    if yes is None:
        path = f"/v1/institutions/{quote(institution, safe='')}/loss"
        print_json(_asked(directory, operator, "agree-loss", "GET", path))
    else:
        body = {"institution": institution, "agreement": yes}
        print_json(_asked(directory, operator, "agree-loss", "POST", "/v1/losses", body))


def close_out(institution: Name, directory: Directory, operator: Address = DEFAULT_OPERATOR) -> None:
    """End a default by the loss that both sides signed: the waterfall bears it, what is left goes back.

        atomic-margin operator close-out fund --dir operator-data

    In this order: the defaulter's collateral, its fund contribution, the operator's capital, contributions of the
    others in proportion. Whatever goes beyond is shown as uncovered. One transaction books all of it.

    Exit status 0: closed, the signed entry is printed. 1: refused, the problem document is printed. 2: nothing was
    asked, or nobody answered.
    """
    print_json(_asked(directory, operator, "close-out", "POST", "/v1/close-outs", {"institution": institution}))


def waterfall(
    institution: Name,
    directory: Directory,
    save: Annotated[Path | None, typer.Option(help="Write the file for `atomic-margin verify-default`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for machines.")] = False,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Print where a default stands: what is held and was sold, the loss, and who bears it.

        atomic-margin operator waterfall fund --dir operator-data
        atomic-margin operator waterfall fund --save default.json --dir operator-data

    Exit status 0: printed. 1: refused, the problem document is printed. 2: nothing was asked, or nobody answered.
    """
    view = _asked(directory, operator, "waterfall", "GET", f"/v1/institutions/{quote(institution, safe='')}/default")
    with plain_errors():
        if save is not None:
            replace_json(save, view["evidence"])
    if as_json:
        print_json({name: value for name, value in view.items() if name != "evidence"})
        return
    cash = view["cash"]
    loss = "none is agreed" if view["loss"] is None else f"{view['loss']} {cash}"
    out.print(f"{institution} is {view['state']}: {view['stages']} sales, loss {loss}")
    if view["top_up_usd"] is not None:
        out.print(f"realised {view['realised_usd']} of {view['top_up_usd']} USD that were proven")
        out.print("held " + (", ".join(f"{quantity} {asset}" for asset, quantity in view["held"].items()) or "nothing"))
    table = Table(box=None, pad_edge=False)
    for name in ("layer", "institution"):
        table.add_column(name)
    for name in ("available", "drawn"):
        table.add_column(f"{name} ({cash})", justify="right")
    for line in view["lines"]:
        table.add_row(SHOWN[line["layer"]], line["institution"] or "-", line["available"], line["drawn"])
    table.add_row("uncovered", "-", "-", view["uncovered"])
    out.print(table)
    if view["returned"]:
        out.print("goes back: " + ", ".join(f"{quantity} {asset}" for asset, quantity in view["returned"].items()))


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
