"""`atomic-margin demo-chain`: settlement on a chain of this machine, whose contract verifies the proofs."""

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

import atomic_margin
from atomic_margin.service.cli.demo import Screen, prepare
from atomic_margin.service.cli.extras import needs_extras
from atomic_margin.service.cli.output import EXIT_REFUSED, err, fail, out, plain_errors
from atomic_margin.service.demo.story import Staging
from atomic_margin.service.files import examples_folder, write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

MOST_BREACH_GAS = 2_000_000
TRANSACTION_GAS = 16_777_216


@app.command(name="demo-chain")
def demo_chain(
    out_directory: Annotated[Path, typer.Option("--out", help="Where demo.json, trust.json and attestations/ go.")],
    examples: Annotated[
        Path | None, typer.Option(help="Folder with a story.json of your own.", show_default="that of the examples")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="FHE profile.", show_default="that of the story")] = None,
) -> None:
    """Watch a margin call and a liquidation in a vault on a chain, which verifies breach and top-up itself.

    Starts anvil, deploys a token that stands for USDC, verifier, oracle and vault, and runs operator, institution,
    witness and three signers as processes on loopback. The institution brings collateral to the vault and registers its
    encrypted book there; prices fall and the top-up is called, prices crash and the account is liquidated, each in one
    transaction that has the proofs. Gas is in the table at the end; docs/chain.md says who could still cheat.
    """
    needs_extras("demo-chain", "fhe", "service", "chain")
    from atomic_margin.contracts.errors import ContractsError
    from atomic_margin.service.demo.chain import local_vault, signing
    from atomic_margin.service.demo.chain_play import OnChain, bring_collateral, differences, play_ticks, register_book
    from atomic_margin.service.demo.parties import parties
    from atomic_margin.service.demo.play import Outputs

    outputs, started = Outputs(out_directory), time.perf_counter()
    with plain_errors():
        staging = Staging.read(examples or examples_folder() / "chain")
        profile = profile or staging.story.profile
        prepare(outputs)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        try:
            with (
                tempfile.TemporaryDirectory(prefix="atomic-margin-") as folder,
                Progress(*columns, console=out, transient=True) as progress,
            ):
                screen, data, logs = Screen(progress), Path(folder), outputs.directory / "logs"
                screen.stage("starting a chain, and deploying the contracts")
                with local_vault(data / "chain") as local:
                    found = OnChain(local.deployment_gas)
                    screen.said(f"vault {local.addresses.vault} on chain {local.addresses.chain}, at {local.rpc}")
                    with parties(
                        staging, data, logs, outputs.trust, screen.stage, profile,
                        serve_options=["--rail", str(local.rail)], deposited=False,
                    ) as running, signing(local, outputs.trust, logs):  # fmt: skip
                        bring_collateral(running, local, screen, found)
                        screen.stage("encrypting, committing to and proving the portfolio")
                        running.submit(staging.story.portfolio)
                        register_book(running, local, screen, found)
                        entries = play_ticks(running, local, outputs, screen, found)
                        differ = differences(running, local)
        except ContractsError as error:
            fail(str(error))
    write_json(
        outputs.summary,
        {
            "version": atomic_margin.__version__,
            "profile": profile,
            "ticks": entries,
            "chain": {
                "addresses": json.loads(local.addresses.to_json()),
                "deployment_gas": str(found.deployment_gas),
                "gas": [{"what": what, "gas": str(gas)} for what, gas in found.gas],
                "settled": found.settled,
            },
            "seconds": {"total": round(time.perf_counter() - started, 3)},
        },
    )
    _print_gas(found.gas, found.deployment_gas)
    out.print(f"{time.perf_counter() - started:.0f} s in all; written: {outputs.summary}, {outputs.trust}, "
              f"{outputs.attestations}/*.json", soft_wrap=True)  # fmt: skip
    problems = [f"ledger and vault differ: {one}" for one in differ]
    unverified = [entry["tick"] for entry in entries if not entry["answer_verified"]]
    problems += [f"tick {tick}: the bundle does not verify" for tick in unverified]
    problems += [
        f"{what} took {gas:,} gas, over a transaction's cap" for what, gas in found.gas if gas > TRANSACTION_GAS
    ]
    problems += [
        f"run {one['run']}: the breach took {int(one['gas']['breach']):,} gas"
        for one in found.settled
        if int(one["gas"]["breach"]) > MOST_BREACH_GAS
    ]
    kinds = [one["kind"] for one in found.settled]
    if kinds != ["margin_call", "liquidation"] and examples is None:
        problems.append(f"the chain settled {kinds}, and not a call and a liquidation")
    for problem in problems:
        err.print(f"[bold red]{problem}[/]")
    if problems:
        raise typer.Exit(EXIT_REFUSED)


def _print_gas(gas: list[tuple[str, int]], deployment: int) -> None:
    table = Table("transaction", "gas", "of a transaction's cap", title="Gas")
    table.add_row("deployment, 14 transactions", f"{deployment:,}", "")
    for what, taken in gas:
        table.add_row(what, f"{taken:,}", f"{100 * taken / TRANSACTION_GAS:.1f} %")
    out.print(table)
