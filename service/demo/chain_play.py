"""The steps of a story whose settlements a chain carries out, and what each transaction took there."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

from eth_typing import HexStr

from atomic_margin.margin.collateral import CollateralHoldings
from atomic_margin.service.demo.chain import ASSET, LocalVault
from atomic_margin.service.demo.parties import NAME, Parties
from atomic_margin.service.demo.play import Outputs, Watcher, play_tick
from atomic_margin.service.demo.processes import printed
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.messages import LedgerView
from atomic_margin.service.protocol.rail_messages import RailTransferLine, RailView

JsonObject = dict[str, Any]

ARRIVAL_SECONDS = 120


@dataclass
class OnChain:
    """What a story did on the chain.

    Attributes:
        gas: of each transaction, by what it did, in order.
        deployment_gas: of all contracts.
        settled: each settlement with its events.
    """

    deployment_gas: int
    gas: list[tuple[str, int]] = field(default_factory=list)
    settled: list[JsonObject] = field(default_factory=list)


def bring_collateral(parties: Parties, local: LocalVault, watcher: Watcher, found: OnChain) -> None:
    """Bring the story's collateral to the vault, wait for the ledger, and post on both sides.

    Raises:
        RemoteError: the ledger does not follow.
    """
    holdings = CollateralHoldings.parse(read_json(parties.staging.path(parties.staging.story.collateral)))
    posted, free = holdings.posted.get(ASSET, 0), holdings.free.get(ASSET, 0)
    watcher.stage("the institution brings collateral to the vault")
    found.gas.append(("deposit", int(local.bring(posted + free)["gasUsed"])))
    account = f"{NAME}/free"
    parties.operator.wait(
        "/v1/ledger",
        LedgerView,
        lambda seen: seen.accounts.get(account, {}).get(ASSET) == posted + free,
        ARRIVAL_SECONDS,
        lambda _: watcher.stage("the ledger waits until the deposit is final"),
    )
    watcher.stage("posting collateral on the chain, then in the ledger")
    found.gas.append(("post", int(local.send(local.vault.functions.post(posted))["gasUsed"])))
    parties.operator.wait(
        "/v1/rail",
        RailView,
        lambda seen: any(line.vault_posted == posted for line in seen.accounts),
        ARRIVAL_SECONDS,
        lambda _: watcher.stage("the operator waits until what was posted is final"),
    )
    parties.post_collateral()


def register_book(parties: Parties, local: LocalVault, watcher: Watcher, found: OnChain) -> None:
    """Have the institution register its book in the vault, once two of three signers have verified it."""
    watcher.stage("two of three signers verify the book, and the institution registers it in the vault")
    signers = [part for port in local.ports for part in ("--signer", f"http://127.0.0.1:{port}")]
    said = json.loads(
        printed(
            "institution", "register-book", "--dir", str(parties.directory.parent / "institution"),
            "--operator", parties.operator.url, "--trust", str(parties.trust), "--rpc", local.rpc,
            "--addresses", str(local.addresses_file), *signers, *local.holder.options,
        )
    )  # fmt: skip
    found.gas.append(("registerPortfolio", _gas_of(local, said["transaction"])))


def play_ticks(
    parties: Parties, local: LocalVault, outputs: Outputs, watcher: Watcher, found: OnChain
) -> list[JsonObject]:
    """Play the ticks of the story; return their entries.

    Raises:
        RemoteError: a process does not answer, or chain and ledger say something else.
    """
    entries: list[JsonObject] = []
    for step in parties.staging.story.steps:
        if step.tick is None:
            raise RemoteError("a story on a chain has ticks alone")
        entry = play_tick(len(entries) + 1, parties.staging.path(step.tick), parties, outputs, watcher)
        if entry["settlement"] != "none":
            entry["chain"] = _settled(parties, local, entry["run"], watcher, found)
        entries.append(entry)
    return entries


def differences(parties: Parties, local: LocalVault) -> list[str]:
    """Return in which the vault and the ledger say something else of the institution, now that all is final."""
    free, posted, *_ = local.vault.functions.accountOf(local.holder.account.address).call()
    accounts = parties.operator.read("/v1/ledger", LedgerView).accounts
    found = []
    for name, held in (("free", free), ("posted", posted)):
        booked = accounts.get(f"{NAME}/{name}", {}).get(ASSET, 0)
        if booked != held:
            found.append(f"{name}: the vault has {held}, the ledger {booked}")
    return found


def _settled(parties: Parties, local: LocalVault, run_id: str, watcher: Watcher, found: OnChain) -> JsonObject:
    rail = parties.operator.read("/v1/rail", RailView)
    line: RailTransferLine = next(one for one in rail.transfers if one.run_id == run_id)
    gas = {one.purpose: _gas_of(local, one.hash) for one in reversed(line.transactions) if one.block is not None}
    name = {"open": "openRun", "settle": f"settle: {str(line.kind).replace('_', ' ')}"}
    found.gas += [(name[purpose], taken) for purpose, taken in gas.items()]
    proofs = _proofs_alone(local, str(line.transaction))
    found.gas += [(f"  of that, {what} proof alone", taken) for what, taken in proofs.items()]
    watcher.said(
        f"  on the chain: {str(line.kind).replace('_', ' ')} of {int(line.amount or 0) / 1e6:,.2f} {ASSET} in block "
        f"{line.block}; the contract verified breach ({proofs['breach']:,} gas alone) and top-up ({proofs['top-up']:,})"
    )
    settled = {
        "run": run_id,
        "kind": line.kind,
        "amount": str(line.amount),
        "block": str(line.block),
        "transaction": line.transaction,
        "gas": {name: str(taken) for name, taken in (gas | proofs).items()},
    }
    found.settled.append(settled)
    return settled


def _proofs_alone(local: LocalVault, transaction: str) -> dict[str, int]:
    """Return what the proofs of a settlement take in transactions that do nothing else, calldata included."""
    sent = local.web3.eth.get_transaction(cast(HexStr, transaction))
    _, given = local.vault.decode_function_input(sent["input"])
    verify = local.verifier.functions
    return {
        "breach": int(verify.verifyBreach(given["breachStatement"], given["breachProof"]).estimate_gas()),
        "top-up": int(verify.verifySufficiency(given["topUpStatement"], given["topUpProof"]).estimate_gas()),
    }


def _gas_of(local: LocalVault, transaction: str) -> int:
    return int(local.web3.eth.get_transaction_receipt(cast(HexStr, transaction))["gasUsed"])
