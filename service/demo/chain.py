"""The demo's chain: anvil on loopback, a token that stands for USDC, vault, oracle, verifier, and three signers.

For `demo_chain`. Keys are made here, in keystore files as anybody else's are; nothing of them is used elsewhere.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.types import TxReceipt

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.deploy import VaultRoles, deploy, deploy_vault
from atomic_margin.contracts.keystore import create_key
from atomic_margin.service.demo.parties import NAME
from atomic_margin.service.demo.processes import Http, command, free_port, running
from atomic_margin.service.errors import RemoteError
from atomic_margin.service.files import write_json
from atomic_margin.service.protocol.messages import Health

ASSET, DECIMALS = "USDC", 6
SIGNERS, THRESHOLD = 3, 2
BLOCK_CAP = 10**14
RUN_SECONDS = 86_400
SCRYPT_ROUNDS = 1 << 12
"""Of keystores that live as long as a demo."""
CONFIRMATIONS = 2
BLOCK_SECONDS = 1


@dataclass(frozen=True)
class Key:
    """A key in a keystore file."""

    account: LocalAccount
    keystore: Path
    password: Path

    @property
    def options(self) -> list[str]:
        """What a command is given to use it."""
        return ["--keystore", str(self.keystore), "--password-file", str(self.password)]


@dataclass
class LocalVault:
    """A vault on a chain of this machine, and who acts there.

    Attributes:
        web3: a connection that signs for the holder.
        rpc: URL of the node.
        folder: where files and keys are.
        addresses: of the contracts.
        holder: key of the institution's account.
        signers: keys of the oracle's.
        ports: where these will serve.
        deployment_gas: of all contracts.
    """

    web3: Web3
    rpc: str
    folder: Path
    addresses: ChainAddresses
    holder: Key
    signers: tuple[Key, ...]
    ports: tuple[int, ...]
    deployment_gas: int

    @property
    def rail(self) -> Path:
        """The operator's rail file."""
        return self.folder / "rail.json"

    @property
    def addresses_file(self) -> Path:
        """The addresses file."""
        return self.folder / "addresses.json"

    @property
    def vault(self) -> Contract:
        """The vault."""
        return _contract(self.web3, self.addresses.vault, "Vault")

    @property
    def verifier(self) -> Contract:
        """The verifier."""
        return _contract(self.web3, self.addresses.verifier, "MarginVerifier")

    def send(self, call: ContractFunction) -> TxReceipt:
        """Have the institution send a transaction.

        Raises:
            RemoteError: it was reverted.
        """
        sent = call.transact({"from": self.holder.account.address, "gas": 1_000_000})
        receipt = self.web3.eth.wait_for_transaction_receipt(sent)
        if receipt["status"] != 1:
            raise RemoteError(f"{call.fn_name} was reverted")
        return receipt

    def bring(self, quantity: int) -> TxReceipt:
        """Have the institution bring collateral to the vault."""
        token = _contract(self.web3, self.addresses.token, "test/Token")
        self.send(token.functions.mint(self.holder.account.address, quantity))
        self.send(token.functions.approve(self.addresses.vault, quantity))
        return self.send(self.vault.functions.deposit(self.holder.account.address, quantity))


@contextmanager
def local_vault(folder: Path) -> Iterator[LocalVault]:
    """Run a chain, deploy a vault there, and write the files that its users have.

    Raises:
        ChainUnavailable: anvil is not installed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with local_chain.anvil(options=["--block-time", str(BLOCK_SECONDS)]) as web3:
        operator, guardian, waterfall, holder = (_key(folder, name) for name in ("operator", "guardian", "pool", NAME))
        signers = tuple(_key(folder, f"signer-{number}") for number in range(1, SIGNERS + 1))
        rich = web3.eth.accounts[0]
        for one in (operator, holder):
            _pay(web3, rich, one.account.address)
        token = deploy(web3, rich, load_artifact("test/Token"))
        made = deploy_vault(
            web3,
            rich,
            token=token.address,
            asset=ASSET,
            signers=[one.account.address for one in signers],
            threshold=THRESHOLD,
            roles=VaultRoles(
                operator.account.address, guardian.account.address, waterfall.account.address, BLOCK_CAP, RUN_SECONDS
            ),
        )
        gas = _gas_used(web3, made.first_block)
        web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(holder.account), layer=0)
        ports = tuple(free_port() for _ in signers)
        rpc = str(cast(Any, web3.provider).endpoint_uri)
        local = LocalVault(web3, rpc, folder, made.addresses, holder, signers, ports, gas)
        local.addresses_file.write_text(made.addresses.to_json())
        write_json(
            local.rail,
            {
                "format": "atomic-margin/rail/1",
                "rpc": rpc,
                "addresses": local.addresses_file.name,
                "accounts": {NAME: holder.account.address},
                "others": "ledger",
                "signers": [f"http://127.0.0.1:{port}" for port in ports],
                "sender": {"keystore": operator.keystore.name, "password_file": operator.password.name},
                "finality": str(CONFIRMATIONS),
                "first_block": str(made.first_block),
                "max_fee_gwei": "500",
                "stuck_seconds": "60",
                "attestation_seconds": "3600",
                "request_seconds": "60",
            },
        )
        yield local


@contextmanager
def signing(local: LocalVault, trust: Path, logs: Path) -> Iterator[None]:
    """Run the oracle's signers, each a process of its own that verifies by a trust file.

    Raises:
        RemoteError: one does not come up.
    """
    with ExitStack() as stack:
        for number, (key, port) in enumerate(zip(local.signers, local.ports, strict=True), 1):
            log = logs / f"signer-{number}.log"
            serve = command(
                "signer", "serve", "--dir", str(local.folder / f"signer-{number}"), *key.options,
                "--trust", str(trust), "--rpc", local.rpc, "--addresses", str(local.addresses_file),
                "--decimals", str(DECIMALS),
                "--port", str(port),
            )  # fmt: skip
            process = stack.enter_context(running(serve, log))
            with Http(f"http://127.0.0.1:{port}", process, log) as public:
                public.wait("/healthz", Health, lambda _: True, 60, lambda _: None)
        yield


def _key(folder: Path, name: str) -> Key:
    password, keystore = folder / f"{name}.password", folder / f"{name}.keystore"
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16) + "\n")
    return Key(create_key(keystore, password.read_text().strip(), iterations=SCRYPT_ROUNDS), keystore, password)


def _pay(web3: Web3, rich: ChecksumAddress, address: str) -> None:
    to = cast(ChecksumAddress, address)
    sent = web3.eth.send_transaction({"from": rich, "to": to, "value": Web3.to_wei(100, "ether")})
    web3.eth.wait_for_transaction_receipt(sent)


def _contract(web3: Web3, address: str, name: str) -> Contract:
    return web3.eth.contract(address=cast(ChecksumAddress, address), abi=load_artifact(name).abi)


def _gas_used(web3: Web3, first: int) -> int:
    return sum(int(web3.eth.get_block(number)["gasUsed"]) for number in range(first + 1, web3.eth.block_number + 1))
