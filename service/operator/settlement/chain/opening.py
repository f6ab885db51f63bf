"""Put a rail on a chain together, from its file. `serve --rail` calls it."""

import logging
from typing import Any

from web3 import HTTPProvider, Web3

from atomic_margin.contracts.collect import Collected, SignerSet, collect
from atomic_margin.contracts.errors import ContractsError, TooFewSignatures
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement.chain.errors import NodeProblem, SignersSilent
from atomic_margin.service.operator.settlement.chain.mirror import Deposit, Mirror
from atomic_margin.service.operator.settlement.chain.preparing import Collecting, Preparation
from atomic_margin.service.operator.settlement.chain.rail import ChainRail
from atomic_margin.service.operator.settlement.chain.senders import TransactionSigner, signer_of
from atomic_margin.service.operator.settlement.chain.settings import RailSettings
from atomic_margin.service.operator.settlement.chain.transactions import Transactions
from atomic_margin.service.operator.settlement.chain.vault import VaultOnChain, node_problems

_log = logging.getLogger(__name__)


def open_rail(operator: Operator, settings: RailSettings, deposit: Deposit) -> ChainRail:
    """Return the rail that a file describes, and have the operator use it from now on.

    Raises:
        ConfigurationError: the schedule does not have the vault's asset, the model has rows with slack, the node is on
            another chain, or the keystore does not open. A node that does not answer now is waited for.
    """
    web3 = Web3(HTTPProvider(settings.file.rpc, request_kwargs={"timeout": settings.file.request_seconds}))
    try:
        signer = signer_of(settings)
    except ContractsError as error:
        raise ConfigurationError(str(error)) from error
    vault = VaultOnChain(web3, settings.addresses)
    try:
        vault.require_ours()
    except NodeProblem as error:
        if error.__cause__ is None:
            raise ConfigurationError(str(error)) from error
        _log.warning("%s: settlements wait until it does", error)
    return new_rail(operator, settings, vault, signer, deposit, _asking(settings, vault))


def new_rail(
    operator: Operator,
    settings: RailSettings,
    vault: VaultOnChain,
    signer: TransactionSigner,
    deposit: Deposit,
    collecting: Collecting,
) -> ChainRail:
    """Return the same of parts that are there.

    Raises:
        ConfigurationError: the schedule does not have the vault's asset, or the model has rows with slack.
    """
    asset, assets = settings.addresses.asset, [one.id for one in operator.terms.schedule.assets]
    if asset not in assets:
        raise ConfigurationError(f"asset {asset!r} of the vault is not in the collateral schedule: {', '.join(assets)}")
    if operator.terms.has_exact:
        # Agents count their top-ups in exact rows, whose slack no contract verifies.
        raise ConfigurationError(
            "the margin model has rows with slack, which no contract verifies: settle its accounts in the ledger, "
            "without a rail"
        )
    file = settings.file
    mirror = Mirror(
        operator.store,
        vault,
        file.accounts,
        confirmations=file.finality,
        first_block=file.first_block,
        deposit=deposit,
    )
    transactions = Transactions(
        operator.store, vault, signer, max_fee_gwei=file.max_fee_gwei, stuck_seconds=file.stuck_seconds
    )
    preparing = Preparation(operator, settings, vault, collecting)
    operator.rail = rail = ChainRail(operator.store, settings, vault, transactions, preparing, mirror)
    return rail


def _asking(settings: RailSettings, vault: VaultOnChain) -> Collecting:
    """Return what asks the signers that the file names."""

    def ask(request: dict[str, Any]) -> Collected:
        with node_problems():
            signers = SignerSet.read(vault.web3, settings.addresses.oracle)
        try:
            return collect(settings.file.signers, request, signers.threshold, signers)
        except TooFewSignatures as error:
            raise SignersSilent(str(error)) from error

    return ask
