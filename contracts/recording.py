"""Records the parts of an answer on a chain, and goes on where it was stopped. Needs web3 (the extra `chain`).

For whoever settles a run whose proofs take more than one transaction, the operator or anyone else. Which parts are
there is asked of the vault each time, so nothing has to be remembered: a process that was killed, a transaction that
was dropped and a block that was reorganised away are all mended by calling `record` again. A part that two parties
send is recorded once.

>>> from atomic_margin.contracts.parts import Claim, Part
>>> str(Part(Claim.TOP_UP, 0, 3))
'Part(claim=<Claim.TOP_UP: 1>, slice=0, slices=3)'
"""

from dataclasses import dataclass
from typing import Any

from eth_typing import ChecksumAddress
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.exceptions import TimeExhausted

from atomic_margin.contracts.deploy import TRANSACTION_GAS, WAIT_SECONDS
from atomic_margin.contracts.errors import PartsError
from atomic_margin.contracts.parts import Answer, Claim, Part, Plan, Proven

ROUNDS = 3
"""How often `record` asks what is missing: what it sent may be undone by a reorganisation."""


def digest(proven: Proven) -> bytes:
    """Return what names a proof with its statement on the chain: Keccak-256 of the Keccak-256 of both."""
    return bytes(Web3.keccak(Web3.keccak(proven.statement) + Web3.keccak(proven.proof)))


@dataclass(frozen=True)
class Recorder:
    """One run's answer on its way to a `PartsVault`.

    Attributes:
        web3: connection to the chain; it signs what ``sender`` sends, or the node does.
        vault: the contract.
        sender: who pays for the gas; anyone may.
        run: that is settled.
        answer: both proofs.
        plan: how they are cut.
    """

    web3: Web3
    vault: Contract
    sender: ChecksumAddress
    run: bytes
    answer: Answer
    plan: Plan

    def missing(self) -> list[Part]:
        """Return the parts that are not recorded, in order."""
        digests = digest(self.answer.breach), digest(self.answer.top_up)
        bits = {
            claim: self.vault.functions.recordedParts(self.run, *digests, claim, self.plan.slices(claim)).call()
            for claim in Claim
        }
        return [part for part in self.plan.parts() if not bits[part.claim] >> part.slice & 1]

    def record(self) -> int:
        """Record what is missing, one part after the other, and return how many transactions were sent.

        Raises:
            PartsError: a part was refused, or parts are still missing after `ROUNDS` times.
        """
        sent = 0
        for _ in range(ROUNDS):
            missing = self.missing()
            if not missing:
                return sent
            for part in missing:
                self._send(part)
                sent += 1
        if missing := self.missing():
            raise PartsError(f"{len(missing)} parts are recorded and gone again: wait for the chain, then record anew")
        return sent

    def recording(self, part: Part) -> ContractFunction:
        """Return the call that records a part."""
        numbers = part.slice, part.slices
        if part.claim is Claim.BREACH:
            breach = self.answer.breach
            return self.vault.functions.recordBreach(
                self.run, breach.statement, breach.proof, digest(self.answer.top_up), *numbers
            )
        top_up = self.answer.top_up
        return self.vault.functions.recordTopUp(
            self.run, digest(self.answer.breach), top_up.statement, top_up.proof, *numbers
        )

    def settling(self, attestation: dict[str, Any], signatures: list[tuple[bytes, bytes, int]]) -> ContractFunction:
        """Return the call that settles, once no part is missing."""
        return self.vault.functions.settleInParts(
            attestation, signatures, self.answer.arguments, self.plan.breach_slices, self.plan.top_up_slices
        )

    def _send(self, part: Part) -> None:
        hash_ = self.recording(part).transact({"from": self.sender, "gas": TRANSACTION_GAS})
        try:
            receipt = self.web3.eth.wait_for_transaction_receipt(hash_, timeout=WAIT_SECONDS)
        except TimeExhausted:
            raise PartsError(
                f"transaction {hash_.to_0x_hex()} is in no block after {WAIT_SECONDS} s: record anew"
            ) from None
        if receipt["status"] != 1:
            raise PartsError(
                f"transaction {hash_.to_0x_hex()} recorded nothing of {part}: it was reverted; "
                f"call it to see the error, the run may be over or paused"
            )
