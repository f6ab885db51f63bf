"""A vault that settles in parts on a local chain, by the real verifiers. For the tests of parts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from eth_account.signers.local import LocalAccount
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.types import RPCEndpoint, TxReceipt

from atomic_margin.contracts.deploy import deploy_partial_verifier, deploy_verifier
from atomic_margin.contracts.parts import Answer, Part, Plan, answer
from atomic_margin.contracts.recording import Recorder

from .answers import Answered, Proved, as_calldata
from .chain import Chain, Refusal
from .world import RUN, STRANGER, World, settings, world

CLAIMS = ("Breach", "TopUp")


@dataclass(frozen=True)
class Cut:
    """An answer and how it is cut."""

    answered: Answered
    answer: Answer
    plan: Plan

    def with_proofs(self, **changed: bytes) -> "Cut":
        """Return the same with other statements or proofs, as calldata."""
        breach, top_up = self.answer.breach, self.answer.top_up
        breach = replace(
            breach,
            statement=changed.pop("breach_statement", breach.statement),
            proof=changed.pop("breach_proof", breach.proof),
        )
        top_up = replace(
            top_up,
            statement=changed.pop("top_up_statement", top_up.statement),
            proof=changed.pop("top_up_proof", top_up.proof),
        )
        assert not changed
        return replace(self, answer=Answer(breach, top_up))

    def sliced(self, breach: int, top_up: int) -> "Cut":
        """Return the same in other slices."""
        return replace(self, plan=Plan(breach, top_up))


def cut(proved: Proved, plan: Plan) -> Cut:
    """Return an answer as the vault takes it."""
    given = answer(proved.breach, proved.breach_proof, proved.top_up, proved.top_up_proof)
    return Cut(as_calldata(proved), given, plan)


class Anvil(Chain):
    """A chain of anvil's, which multiplies points as fast as a node does."""

    @property
    def machine(self) -> Any:
        """What plays the chain, by the names that eth-tester has for it."""
        return self

    def take_snapshot(self) -> str:
        """Keep the chain as it is."""
        return str(self._asked("evm_snapshot"))

    def revert_to_snapshot(self, kept: str) -> None:
        """Go back to what was kept, once."""
        assert self._asked("evm_revert", kept) is True

    def time_travel(self, when: int) -> None:
        """Let the next block have this time."""
        self._asked("evm_setNextBlockTimestamp", when)

    def mine_block(self) -> None:
        """Mine an empty block."""
        self._asked("evm_mine")

    def _asked(self, method: str, *arguments: Any) -> Any:
        return self.w3.provider.make_request(RPCEndpoint(method), list(arguments))["result"]


@dataclass
class Parted(World):
    """The contracts, and what anybody does with parts."""

    partial: Contract

    def recorder(self, what: Cut, run: bytes = RUN, sender: LocalAccount = STRANGER) -> Recorder:
        """Return what records an answer's parts, by a stranger unless it is another's to do."""
        return Recorder(self.chain.w3, self.vault, sender.address, run, what.answer, what.plan)

    def record(self, what: Cut, parts: Iterable[Part] | None = None, run: bytes = RUN) -> list[TxReceipt]:
        """Record an answer's parts, all of them unless some are named."""
        recorder = self.recorder(what, run)
        return [self.send(recorder.recording(part)) for part in (what.plan.parts() if parts is None else parts)]

    def settling_in_parts(self, what: Cut, **changed: Any) -> ContractFunction:
        """Return the call that settles the holder's run."""
        message = self.matrices(**{**what.answered.attested, **changed})
        signed = self.sign("MatrixAttestation", message)
        return self.recorder(what, message["run"]).settling(message, signed)

    def settles_nothing(self, what: Cut, **changed: Any) -> Refusal:
        """Return the named error with which a settlement is refused; nothing has moved."""
        before = self.account(), self.tokens(self.vault.address)
        refusal = self.refused(self.settling_in_parts(what, **changed))
        assert (self.account(), self.tokens(self.vault.address)) == before
        return refusal


def missing(claim: str, slice_: int, slices: int) -> Refusal:
    """Return the error of a part that is not there."""
    return Refusal("PartMissing", (CLAIMS.index(claim), slice_, slices))


def parted_world(chain: Chain) -> Parted:
    """Deploy the verifiers and a vault that settles in parts."""
    sender = chain.w3.eth.accounts[0]
    verifier = deploy_verifier(chain.w3, sender)
    partial = deploy_partial_verifier(chain.w3, sender, verifier)
    plain = world(chain, verifier=verifier)
    return Parted(chain, plain.token, plain.oracle, verifier, new_vault(chain, plain, partial), partial)


def new_vault(chain: Chain, beside: World, partial: Contract) -> Contract:
    """Deploy one more vault over the same token, oracle and verifiers."""
    about = settings(beside.token.address, beside.oracle.address)
    return chain.deploy("PartsVault", about, beside.verifier.address, partial.address)
