"""`atomic-margin operator mature`: the cash of collateral that has matured came in."""

from typing import Annotated

import typer

from atomic_margin.service.cli.calls import call
from atomic_margin.service.cli.defaults import DEFAULT_OPERATOR, TOKEN_FILE, Address, Directory
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.http.tokens import read_token


def mature(
    asset: Annotated[str, typer.Argument(help="What matured; its cash has come in, whole.")],
    directory: Directory,
    operator: Address = DEFAULT_OPERATOR,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Book the cash that came in for a bill that matured, or a repo leg whose far side was due, in every account.

        atomic-margin operator mature TBILL-2027-02 --dir operator-data

    Posted collateral becomes posted cash, free collateral free cash, by what the schedule says that it pays; each is an
    entry of the account. It takes prices of a time at the maturity or later. Once more books nothing twice; an account
    with an open run waits, and is named: ask again after it.

    Exit status 0: what was booked is printed. 1: refused, the problem document is printed. 2: nothing was asked, or
    nobody answered.
    """
    with plain_errors():
        answer = call(
            "operator mature",
            "POST",
            operator.rstrip("/") + "/v1/maturities",
            token=read_token(directory / TOKEN_FILE),
            body={"asset": asset},
            whom="the operator",
            advice="start the operator with `atomic-margin serve`, or give its address with --operator",
        )
        if as_json:
            print_json(answer)
            return
        for one in answer["matured"]:
            what = f"{one['quantity']} {asset} for {one['paid']} {one['cash']}"
            out.print(f"{one['institution']} {one['pool']}: {one.get('waits') or what}", soft_wrap=True, markup=False)
        if not answer["matured"]:
            out.print(f"no account has any {asset}", markup=False)
