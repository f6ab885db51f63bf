"""`atomic-margin operator admit` and `deposit`: an institution and what it brought, from its own files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.cli.calls import call, wait_for
from atomic_margin.service.cli.operator_lists import DEFAULT_OPERATOR, TOKEN_FILE, Address, Directory
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.cli.scaffolds import read_public
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_document
from atomic_margin.service.http.tokens import read_token
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.public_files import InstitutionPublic, fingerprint
from atomic_margin.service.protocol.submissions import USUAL_ALLOWANCES

Wait = Annotated[int, typer.Option(min=0, max=3600, help="Seconds to wait for the server, if it is not there yet.")]


def admit(
    institution: Annotated[
        str, typer.Argument(help="Its public file; or its name here: at most 32 letters, digits, - and _.")
    ],
    directory: Directory,
    name: Annotated[str | None, typer.Option(help="Its legal name, where no file says it.")] = None,
    identity: Annotated[str | None, typer.Option(help="Its Ed25519 public key, in hex, where no file says it.")] = None,
    gain_per_submission: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="USD that a book may have gained more, when it comes, than the one it replaces.",
            show_default=str(USUAL_ALLOWANCES.submission),
        ),
    ] = None,
    gain_per_day: Annotated[
        int | None,
        typer.Option(min=0, help="USD, all books of a day together.", show_default=str(USUAL_ALLOWANCES.day)),
    ] = None,
    agreement: Annotated[
        Path | None, typer.Option(help="Terms of collateral between both sides, as JSON; by default there are none.")
    ] = None,
    custody: Annotated[
        Path | None, typer.Option(help="Who holds shares of its books, as JSON; by default nobody does.")
    ] = None,
    deposit: Annotated[
        Path | None,
        typer.Option(help="Collateral holdings that arrived with it, as JSON: booked as free, posted and free alike."),
    ] = None,
    wait: Wait = 0,
    operator: Address = DEFAULT_OPERATOR,
) -> None:
    """Admit an institution under its identity key. Name and key are fixed for good.

    Trades at market change by fees alone what a book has gained so far; the two allowances are for prices that moved
    between trade and submission.

        atomic-margin operator admit institution/public.json --dir operator
        atomic-margin operator admit fund --name "Example Fund LP" --identity KEY --dir operator-data

    Exit status 0: admitted. 1: refused, the problem document is printed. 2: nothing was asked, or nobody answered.
    """
    with plain_errors():
        body = _admission(institution, name, identity)
        body |= {} if gain_per_submission is None else {"gain_per_submission": str(gain_per_submission)}
        body |= {} if gain_per_day is None else {"gain_per_day": str(gain_per_day)}
        if agreement is not None:
            body["agreement"] = read_document(agreement, CollateralAgreement.parse).canonical()
        if custody is not None:
            body["custody"] = read_document(custody, CustodyPolicy.parse).canonical()
        arrived = {} if deposit is None else _arrived(deposit)
        wait_for("operator admit", operator, wait)
        answer = _send(directory, operator, "/v1/admissions", body)
        for asset, quantity in arrived.items():
            _send(
                directory,
                operator,
                "/v1/deposits",
                {
                    "institution": body["institution"],
                    "asset": asset,
                    "quantity": str(quantity),
                    "reference": f"{body['institution']}-admission-{asset}",
                },
            )
        print_json(answer)


def _admission(institution: str, name: str | None, identity: str | None) -> dict[str, Any]:
    path = Path(institution)
    if institution.endswith(".json") or path.is_dir():
        if name is not None or identity is not None:
            raise ConfigurationError("--name and --identity go with a name; a public file says both")
        public: InstitutionPublic = read_public(InstitutionPublic, path)
        out.print(f"{public.name}, fingerprint {fingerprint(public)}", soft_wrap=True, markup=False)
        return {"institution": public.name, "name": public.legal_name, "identity": public.identity}
    if name is None or identity is None:
        raise ConfigurationError("give the institution's public file, or its name here with --name and --identity")
    return {"institution": institution, "name": name, "identity": identity}


def _arrived(path: Path) -> dict[str, int]:
    holdings = read_document(path, CollateralHoldings.parse)
    assets = sorted({*holdings.posted, *holdings.free})
    found = {asset: holdings.posted.get(asset, 0) + holdings.free.get(asset, 0) for asset in assets}
    return {asset: quantity for asset, quantity in found.items() if quantity}


def _send(directory: Path, operator: str, path: str, body: dict[str, Any]) -> Any:
    return call(
        "operator admit",
        "POST",
        operator.rstrip("/") + path,
        token=read_token(directory / TOKEN_FILE),
        body=body,
        whom="the operator",
        advice="start the operator with `atomic-margin serve`, or give its address with --operator",
    )
