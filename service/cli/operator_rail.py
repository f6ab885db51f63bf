"""`operator rail`: where settlements are on their way, and whether the ledger says what the chain says."""

from typing import Any

import typer

from atomic_margin.service.cli.operator_lists import DEFAULT_OPERATOR, Address, Directory, ask
from atomic_margin.service.cli.tables import AsJson, Sections, Watch, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rail)


def rail(
    directory: Directory, as_json: AsJson = False, watch: Watch = None, operator: Address = DEFAULT_OPERATOR
) -> None:
    """Show what carries settlements out: on a chain each one's state, its transactions, and what it waits for.

        atomic-margin operator rail --dir operator-data --watch 2

    A settlement is pending until something is sent, submitted until a block with it is final, then booked. Accounts are
    compared as of the newest final block: a line that differs says since when.
    """
    show(lambda: ask(directory, operator, "rail", "/v1/rail"), _sections, as_json, watch)


def _sections(found: Any) -> Sections:
    if found["rail"] == "ledger":
        return [("Rail", ("rail",), [("the ledger alone: what is booked has moved",)])]
    about = (found["chain"], found["vault"], found["asset"], found["sender"])
    transfers = [
        (
            one["run_id"],
            one["state"],
            one["kind"] or "",
            one["amount"] or "",
            one["block"] or "",
            one["transaction"] or "",
            one["problem"] or "",
        )
        for one in found["transfers"]
    ]
    sent = [
        (
            one["run_id"],
            each["purpose"],
            each["nonce"],
            each["hash"],
            each["gas"],
            "live" if each["live"] else "",
            each["block"] or "",
            each["problem"] or "",
        )
        for one in found["transfers"]
        for each in one["transactions"]
    ]
    accounts = [
        (
            one["institution"],
            one["account"],
            one["vault_free"],
            one["ledger_free"],
            one["vault_posted"],
            one["ledger_posted"],
            one["differs_since"] or "",
        )
        for one in found["accounts"]
    ]
    return [
        ("Rail", ("chain", "vault", "asset", "sender"), [about]),
        ("Settlements", ("run", "state", "kind", "amount", "block", "transaction", "problem"), transfers),
        ("Transactions", ("run", "purpose", "nonce", "hash", "gas", "live", "block", "problem"), sent),
        (
            "Accounts",
            ("account", "address", "free: vault", "ledger", "posted: vault", "ledger", "differs since"),
            accounts,
        ),
        ("Troubles", ("what",), [(one,) for one in found["troubles"]]),
    ]
