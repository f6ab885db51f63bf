"""A vault, its oracle and a token on a local chain, with everybody's keys. For the tests of vaults and oracle."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils import keccak
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.types import TxReceipt

from atomic_margin.contracts.attestations import Kind, typed_data

from .chain import Chain, Refusal

CAP = 10**12
RUN_SECONDS = 600
RATE = 2 * 10**18
"""Two smallest units of the token for one unit of the matrices."""
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NOBODY = "0x" + "00" * 20

Signed = tuple[bytes, bytes, int]


def key(name: str) -> LocalAccount:
    """Return somebody's key, the same in every run."""
    account: LocalAccount = Account.from_key(keccak(text=f"atomic-margin tests {name}"))
    return account


def digest(name: str) -> bytes:
    """Return 32 bytes in place of a hash."""
    return keccak(text=name)


def ascending(keys: Iterable[LocalAccount]) -> list[LocalAccount]:
    """Return keys in the order in which an oracle takes their signatures."""
    return sorted(keys, key=lambda one: int(one.address, 16))


def signature(signer: LocalAccount, document: Mapping[str, Any]) -> Signed:
    """Sign one EIP-712 document."""
    made = signer.sign_message(encode_typed_data(full_message=dict(document)))
    return made.r.to_bytes(32, "big"), made.s.to_bytes(32, "big"), made.v


def second_form(signed: Signed) -> Signed:
    """Return the other signature that anyone can make of one."""
    r, s, v = signed
    return r, (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big"), 55 - v


SIGNERS = ascending(key(f"signer {number}") for number in range(5))
THRESHOLD = 3
HOLDER, OTHER, STRANGER = key("holder"), key("other"), key("stranger")
OPERATOR, GUARDIAN, WATERFALL, AGENT = key("operator"), key("guardian"), key("waterfall"), key("agent")
PEOPLE = (HOLDER, OTHER, STRANGER, OPERATOR, GUARDIAN, AGENT, *SIGNERS)

BOOK, OTHER_BOOK = digest("book"), digest("other book")
RUN, LOG = digest("run"), digest("log")


@dataclass(frozen=True)
class Proofs:
    """Statements and proofs of one answer, as `settle` takes them."""

    breach_statement: bytes
    breach_proof: bytes
    top_up_statement: bytes
    top_up_proof: bytes
    top_up: int = 100

    @property
    def arguments(self) -> tuple[bytes, bytes, bytes, bytes]:
        """As arguments, in order."""
        return self.breach_statement, self.breach_proof, self.top_up_statement, self.top_up_proof


@dataclass
class World:
    """Contracts of one test, and what everybody does with them."""

    chain: Chain
    token: Contract
    oracle: Contract
    verifier: Contract
    vault: Contract

    # Documents

    def sign(
        self,
        kind: Kind,
        message: Mapping[str, Any],
        keys: Sequence[LocalAccount] = SIGNERS[:THRESHOLD],
        *,
        chain: int | None = None,
        contract: str | None = None,
    ) -> list[Signed]:
        """Sign a document by each of the keys, for the oracle unless it is another contract's."""
        document = typed_data(kind, message, chain=chain or self.chain.id, contract=contract or self.oracle.address)
        return [signature(one, document) for one in keys]

    def soon(self) -> int:
        """Return a time that is not over yet."""
        return self.chain.now() + 10**6

    def portfolio(self, holder: LocalAccount = HOLDER, book: bytes = BOOK, /, **changed: Any) -> dict[str, Any]:
        """Return what registers a book."""
        message = {
            "chain": self.chain.id,
            "vault": self.vault.address,
            "account": holder.address,
            "commitments": book,
            "sequence": self.account(holder)["sequence"] + 1,
            "signerSet": 1,
            "expiry": self.soon(),
        }
        return message | changed

    def matrices(self, **changed: Any) -> dict[str, Any]:
        """Return what the signers attest of the holder's run as it was opened."""
        message = {
            "chain": self.chain.id,
            "vault": self.vault.address,
            "account": HOLDER.address,
            "run": RUN,
            "tick": 1,
            "log": LOG,
            "commitments": BOOK,
            "breachMatrix": digest("maintenance"),
            "topUpMatrix": digest("initial"),
            "breachContext": digest("breach context"),
            "topUpContext": digest("top-up context"),
            "topUp": 100,
            "free": self.vault.functions.runOf(RUN).call()[5],
            "posted": self.vault.functions.runOf(RUN).call()[6],
            "rate": RATE,
            "signerSet": 1,
            "expiry": self.soon(),
        }
        return message | changed

    def release(self, amount: int, /, **changed: Any) -> dict[str, Any]:
        """Return what frees posted collateral of the holder."""
        account = self.account()
        message = {
            "chain": self.chain.id,
            "vault": self.vault.address,
            "account": HOLDER.address,
            "amount": amount,
            "posted": account["posted"],
            "runs": account["runs"],
            "log": LOG,
            "sequence": account["sequence"] + 1,
            "signerSet": 1,
            "expiry": self.soon(),
        }
        return message | changed

    def decided(
        self,
        top_up: int,
        *,
        breach: Mapping[str, Any] | None = None,
        topped: Mapping[str, Any] | None = None,
        breach_proof: bytes = b"breach holds",
        top_up_proof: bytes = b"sufficiency holds",
    ) -> Proofs:
        """Return proofs for the stand-in verifier: it says of them what they say."""
        said = {"context": digest("breach context"), "commitments": BOOK, "matrix": digest("maintenance"), "top_up": 0}
        first = said | dict(breach or {})
        said = {"context": digest("top-up context"), "commitments": BOOK, "matrix": digest("initial")}
        second = said | {"top_up": top_up} | dict(topped or {})
        return Proofs(self._checked(first), breach_proof, self._checked(second), top_up_proof, second["top_up"])

    def _checked(self, said: Mapping[str, Any]) -> bytes:
        fields = (said["context"], said["commitments"], said["matrix"], said["top_up"], 24, 32)
        encoded: bytes = self.chain.w3.codec.encode(["(bytes32,bytes32,bytes32,uint256,uint16,uint16)"], [fields])
        return encoded

    # Deeds

    def fund(self, holder: LocalAccount, amount: int) -> None:
        """Give somebody tokens, and let the vault take them."""
        self.send(self.token.functions.mint(holder.address, amount))
        self.send(self.token.functions.approve(self.vault.address, 2**200), holder)

    def deposit(self, amount: int, holder: LocalAccount = HOLDER, account: LocalAccount | None = None) -> TxReceipt:
        """Bring collateral, for the holder's own account unless it is another's."""
        self.fund(holder, amount)
        return self.send(self.vault.functions.deposit((account or holder).address, amount), holder)

    def register(self, holder: LocalAccount = HOLDER, book: bytes = BOOK) -> TxReceipt:
        """Register a book that the holder sends itself."""
        message = self.portfolio(holder, book)
        signed = self.sign("PortfolioAttestation", message)
        return self.send(self.vault.functions.registerPortfolio(message, signed[0], signed), holder)

    def enrol(self, free: int, posted: int, holder: LocalAccount = HOLDER, book: bytes = BOOK) -> None:
        """Register a book and bring collateral."""

        def deed() -> None:
            self.register(holder, book)
            if free + posted:
                self.deposit(free + posted, holder)
            if posted:
                self.send(self.vault.functions.post(posted), holder)

        self.chain.once((self.vault.address, free, posted, holder.address, book), deed)

    def open(
        self,
        run: bytes = RUN,
        holder: LocalAccount = HOLDER,
        tick: int = 1,
        book: bytes | None = None,
        posted: int | None = None,
    ) -> TxReceipt:
        """Open a run, on the book in force and all that is posted unless it is another."""
        account = self.account(holder)
        book = account["commitments"] if book is None else book
        posted = account["posted"] if posted is None else posted
        return self.send(self.vault.functions.openRun(run, holder.address, tick, book, posted), OPERATOR)

    def settling(
        self,
        proofs: Proofs,
        message: Mapping[str, Any] | None = None,
        signed: Sequence[Signed] | None = None,
    ) -> ContractFunction:
        """Return the call that settles the holder's run; what is not signed yet is attested of the proofs' X."""
        message = self.matrices() if message is None else message
        message = {**message, "topUp": proofs.top_up} if signed is None else message
        signed = self.sign("MatrixAttestation", message) if signed is None else signed
        return self.vault.functions.settle(message, signed, *proofs.arguments)

    def message(self, function: ContractFunction) -> str:
        """Return a call as bytes, for a contract that is to make it."""
        arguments = [tuple(one.values()) if isinstance(one, Mapping) else one for one in function.args or ()]
        encoded: str = self.chain.w3.eth.contract(abi=function.contract_abi).encode_abi(function.fn_name, arguments)
        return encoded

    def settle(self, top_up: int) -> TxReceipt:
        """Settle the holder's run by proofs for the stand-in."""
        return self.send(self.settling(self.decided(top_up)), STRANGER)

    def send(self, function: ContractFunction, sender: LocalAccount = STRANGER) -> TxReceipt:
        """Send a transaction that has to succeed."""
        return self.chain.send(function, sender)

    def refused(self, function: ContractFunction, sender: LocalAccount = STRANGER) -> Refusal:
        """Return the named error with which a call is refused."""
        return self.chain.refused(function, sender)

    # What is seen

    def account(self, holder: LocalAccount = HOLDER) -> dict[str, Any]:
        """Return an account of the vault."""
        names = ("free", "posted", "commitments", "run", "sequence", "tick", "state", "lapsed", "runs")
        return dict(zip(names, self.vault.functions.accountOf(holder.address).call(), strict=True))

    def balances(self, holder: LocalAccount = HOLDER) -> tuple[int, int]:
        """Return free and posted collateral."""
        account = self.account(holder)
        return account["free"], account["posted"]

    def run_state(self, run: bytes = RUN) -> str:
        """Return the name of a run's state."""
        names = ("Unknown", "Valuation", "Covered", "Lapsed", "Challenged", "Settled", "Terminated")
        return names[self.vault.functions.runOf(run).call()[3]]

    def state(self, holder: LocalAccount = HOLDER) -> str:
        """Return the name of an account's state."""
        return ("Inactive", "Settled", "Valuation", "Terminated")[self.account(holder)["state"]]

    def tokens(self, who: str) -> int:
        """Return somebody's balance of the token."""
        balance: int = self.token.functions.balanceOf(who).call()
        return balance

    def events(self, receipt: TxReceipt, contract: Contract | None = None) -> list[tuple[str, dict[str, Any]]]:
        """Return a transaction's events of the vault, in order, with names and fields."""
        return self.chain.events(receipt, contract or self.vault)


def settings(token: str, oracle: str, /, **changed: Any) -> tuple[Any, ...]:
    """Return how a vault is set up: the fields of its struct, in order."""
    fields = {
        "token": token,
        "oracle": oracle,
        "operator": OPERATOR.address,
        "guardian": GUARDIAN.address,
        "waterfall": WATERFALL.address,
        "blockCap": CAP,
        "runSeconds": RUN_SECONDS,
    }
    return tuple((fields | changed).values())


def world(chain: Chain, kind: str = "Token", verifier: Contract | None = None) -> World:
    """Deploy a vault over a token of a kind, with the stand-in for a verifier unless there is one."""
    held = chain.deploy(f"test/{kind}")
    oracle = chain.deploy("MatrixOracle", [one.address for one in SIGNERS], THRESHOLD)
    verifier = verifier or chain.deploy("test/DecidedVerifier")
    vault = chain.deploy("Vault", settings(held.address, oracle.address), verifier.address)
    return World(chain, held, oracle, verifier, vault)


CHALLENGE_SECONDS = 900


def attesting_world(chain: Chain, kind: str = "Token") -> World:
    """Deploy a vault that believes an agent; there is no verifier, and the token stands in its place."""
    token = chain.deploy(f"test/{kind}")
    oracle = chain.deploy("MatrixOracle", [one.address for one in SIGNERS], THRESHOLD)
    about = settings(token.address, oracle.address)
    return World(chain, token, oracle, token, chain.deploy("AttestedVault", about, AGENT.address, CHALLENGE_SECONDS))
