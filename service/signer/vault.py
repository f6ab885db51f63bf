"""What the vault and its oracle say, read by the signer's own node; needs web3 (the extra `chain`).

Everything that one message is made of is read at one block. A node that is behind or that lies is the signer's own
matter: it should ask a node that it runs or trusts, and none of the operator's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from eth_typing import BlockNumber
from requests.exceptions import RequestException
from web3 import Web3
from web3.exceptions import ContractLogicError, Web3Exception

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.signer.errors import ChainUnreachable

CALL_SECONDS = 20
RUN_OPEN = 1
"""`Valuation` among the states of a run."""
ACCOUNT_STATES = ("Inactive", "Settled", "Valuation", "Terminated")
_DECIMALS: list[dict[str, Any]] = [
    {
        "type": "function",
        "name": "decimals",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint8"}],
        "stateMutability": "view",
    }
]

T = TypeVar("T")


@dataclass(frozen=True)
class Moment:
    """The chain at one block.

    Attributes:
        now: time of the block, seconds of the epoch.
        signer_set: version of the set in force.
        counted: whether the set has the signer.
    """

    now: int
    signer_set: int
    counted: bool


@dataclass(frozen=True)
class RunOnChain:
    """The vault's picture of a run.

    Attributes:
        at: when it was read.
        account: whose run.
        tick: price sequence.
        open: whether it can be settled: in `Valuation`, and in time.
        commitments: hash of the book's commitments.
        free, posted: balances when it was opened, in the token's smallest unit.
    """

    at: Moment
    account: str
    tick: int
    open: bool
    commitments: bytes
    free: int
    posted: int


@dataclass(frozen=True)
class AccountOnChain:
    """An account of the vault.

    Attributes:
        at: when it was read.
        posted: posted balance, in the token's smallest unit.
        sequence: of its last attested document.
        state: `Inactive`, `Settled`, `Valuation` or `Terminated`.
        holder: account that has these commitments already; None for nobody.
    """

    at: Moment
    posted: int
    sequence: int
    state: str
    holder: str | None


class VaultReader:
    """Reads one vault."""

    def __init__(self, web3: Web3, addresses: ChainAddresses) -> None:
        """Read the vault of ``addresses`` by a connection."""
        self.addresses = addresses
        self._web3 = web3
        self._vault = web3.eth.contract(address=_address(addresses.vault), abi=load_artifact("Vault").abi)
        self._oracle = web3.eth.contract(address=_address(addresses.oracle), abi=load_artifact("MatrixOracle").abi)
        self._token = web3.eth.contract(address=_address(addresses.token), abi=_DECIMALS)

    @classmethod
    def by_url(cls, url: str, addresses: ChainAddresses) -> "VaultReader":
        """Read by a node's address."""
        return cls(Web3(Web3.HTTPProvider(url, request_kwargs={"timeout": CALL_SECONDS})), addresses)

    def check(self) -> None:
        """Make sure that the node is of this chain, and that the contracts there are each other's.

        Raises:
            ConfigurationError: one of the addresses is another contract's.
            ChainUnreachable: the node does not answer.
        """
        chain = self._asked(lambda: self._web3.eth.chain_id)
        if chain != self.addresses.chain:
            raise ConfigurationError(f"the node is of chain {chain}, and the addresses are of {self.addresses.chain}")
        for name in ("oracle", "verifier", "token"):
            found = str(self._asked(self._vault.functions[name]().call))
            wanted = getattr(self.addresses, name)
            if found.lower() != wanted.lower():
                raise ConfigurationError(
                    f"{name}: the vault {self.addresses.vault} has {found}, and the addresses say {wanted}: compare "
                    "the file with who deployed the vault"
                )

    def decimals(self) -> int | None:
        """Return the token's decimals; None where it does not say them, which a token need not."""
        try:
            return int(self._token.functions.decimals().call())
        except ContractLogicError:
            return None
        except (Web3Exception, RequestException, OSError, ValueError) as error:
            raise _unreachable(error) from error

    def signers(self) -> tuple[str, ...]:
        """Return the signers in force."""
        found: list[str] = self._asked(self._oracle.functions.signers().call)
        return tuple(found)

    def moment(self, signer: str) -> Moment:
        """Return what the chain says of a signer."""
        return self._at_one_block(lambda block: self._moment(signer, block))

    def run(self, run: bytes, signer: str) -> RunOnChain:
        """Return the vault's picture of a run; one that it does not know is not open.

        Raises:
            ChainUnreachable: the node does not answer, or changed its mind meanwhile.
        """

        def read(block: BlockNumber) -> RunOnChain:
            account, tick, deadline, state, commitments, free, posted = self._vault.functions.runOf(run).call(
                block_identifier=block
            )
            clock = self._vault.functions.clock().call(block_identifier=block)
            is_open = state == RUN_OPEN and clock <= deadline
            return RunOnChain(self._moment(signer, block), account, tick, is_open, bytes(commitments), free, posted)

        return self._at_one_block(read)

    def account(self, account: str, commitments: bytes, signer: str) -> AccountOnChain:
        """Return an account, and who has some commitments.

        Raises:
            ChainUnreachable: the node does not answer, or changed its mind meanwhile.
        """

        def read(block: BlockNumber) -> AccountOnChain:
            found = self._vault.functions.accountOf(_address(account)).call(block_identifier=block)
            holder = str(self._vault.functions.holderOf(commitments).call(block_identifier=block))
            return AccountOnChain(
                self._moment(signer, block),
                posted=found[1],
                sequence=found[4],
                state=ACCOUNT_STATES[found[6]],
                holder=holder if int(holder, 16) else None,
            )

        return self._at_one_block(read)

    def _moment(self, signer: str, block: BlockNumber) -> Moment:
        return Moment(
            now=int(self._web3.eth.get_block(block)["timestamp"]),
            signer_set=self._oracle.functions.signerSet().call(block_identifier=block),
            counted=self._oracle.functions.isSigner(_address(signer)).call(block_identifier=block),
        )

    def _at_one_block(self, read: Callable[[BlockNumber], T]) -> T:
        def both() -> tuple[T, bool]:
            block = self._web3.eth.get_block("latest")
            found = read(block["number"])
            return found, self._web3.eth.get_block(block["number"])["hash"] == block["hash"]

        found, same = self._asked(both)
        if not same:
            raise ChainUnreachable("the chain was rearranged meanwhile: ask again in a moment")
        return found

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (Web3Exception, RequestException, OSError, ValueError) as error:
            raise _unreachable(error) from error


def _unreachable(error: Exception) -> ChainUnreachable:
    # Addresses of nodes have keys in them: the text of the error stays in the log.
    return ChainUnreachable(f"the signer's node did not answer as a chain does ({type(error).__name__}): ask again")


def _address(text: str) -> Any:
    return Web3.to_checksum_address(text)
