"""Get together what settles a run that is open on the chain: the signers' attestation and the proofs of the answer."""

from typing import Any, Protocol

from eth_typing import HexStr

from atomic_margin.contracts.calldata import PARTIAL_BITS
from atomic_margin.contracts.collect import Collected
from atomic_margin.contracts.parts import Answer, Plan
from atomic_margin.service.errors import Refused
from atomic_margin.service.operator.attestations import unsettled_bundle
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement.chain.errors import NodeProblem, NotCarriable, SignersSilent
from atomic_margin.service.operator.settlement.chain.evidence import claimed, proven
from atomic_margin.service.operator.settlement.chain.rail import Recording
from atomic_margin.service.operator.settlement.chain.settings import RailSettings
from atomic_margin.service.operator.settlement.chain.vault import VaultOnChain
from atomic_margin.service.operator.store.tables import Run
from atomic_margin.service.protocol.documents import Answer as SignedAnswer
from atomic_margin.zk.bits.parameters import ONE_CHUNK_BITS

REQUEST_FORMAT = "atomic-margin/settlement-request/1"


class Collecting(Protocol):
    """Asks signers for their attestations."""

    def __call__(self, request: dict[str, Any]) -> Collected:
        """Return what the oracle takes.

        Raises:
            SignersSilent: fewer did, and what each said.
        """


class Preparation:
    """Of one operator, for one vault."""

    def __init__(self, operator: Operator, settings: RailSettings, vault: VaultOnChain, collect: Collecting) -> None:
        """Take what is needed; nothing is asked yet."""
        self._operator, self._settings, self._vault, self._collect = operator, settings, vault, collect
        self._kept: tuple[str, Answer, Plan] | None = None

    def require_carriable(self, run_id: str, answer: SignedAnswer) -> None:
        """Make sure that this chain can settle on an answer, before it is taken.

        Raises:
            Refused: its top-up is proven with slack, or over more bits than the contract takes.
        """
        try:
            most = self._most_bits()
        except NodeProblem:
            # Whether it takes chunks is found out later; the least of what contracts take is asked for now.
            most = ONE_CHUNK_BITS
        try:
            claimed(self._operator, run_id, answer).said(most)
        except NotCarriable as error:
            raise Refused(f"this account settles on a chain: {error}; answer without a form", "form") from error

    def counted(self, run_id: str) -> tuple[bytes, int]:
        """Return hash(V) and the posted collateral of a run that this chain can settle, before it is opened.

        Raises:
            NotCarriable: other collateral is posted, the proofs are of a form that the contract does not verify, or the
                vault has another book of the account.
        """
        found, asset = proven(self._operator, run_id), self._settings.addresses.asset
        others = sorted(name for name, held in found.record.posted.items() if held and name != asset)
        if others:
            raise NotCarriable(
                f"{', '.join(others)} is posted too, and this vault holds {asset} alone: such an account is settled "
                "by hand; have it substitute its collateral"
            )
        breach, _ = found.said(self._most_bits())
        holder = self._vault.holder(breach.commitments)
        if holder is None or holder != self._settings.file.accounts.get(found.record.institution):
            whose = "not registered in the vault" if holder is None else f"registered by {holder}"
            raise NotCarriable(
                f"book {breach.commitments.hex()[:16]} of {found.record.institution} is {whose}: have the institution "
                "register it from its account (`institution register-book`)"
            )
        return breach.commitments, found.record.posted.get(asset, 0)

    def missing_part(self, run_id: str, key: bytes) -> Recording | None:
        """Return what is to be recorded next before a run can settle; None if nothing is.

        Raises:
            NotCarriable: this chain cannot settle it.
        """
        if not self._vault.takes_parts():
            return None
        answer, plan = self._in_parts(run_id)
        part = self._vault.missing_part(answer, plan, key) if list(plan.parts()) else None
        if part is None:
            return None
        name = f"part {int(part.claim)}.{part.slice}/{part.slices}"
        return Recording(name, lambda: self._vault.recording(answer, plan, key, part))

    def ready(self, run_id: str, key: bytes, number: int) -> HexStr:
        """Return the data of the call that settles a run, open on the chain in its round of this number.

        Raises:
            SignersSilent: too few witnesses or signers so far.
            NotCarriable: what the signers attest is of another run, or of other proofs.
        """
        operator, file = self._operator, self._settings.file
        with operator.store.reading() as session:
            bundle = unsettled_bundle(operator, session, session.get_one(Run, run_id))
        if bundle is None:
            raise SignersSilent("too few witnesses have cosigned the run's entries so far: signers ask for them")
        expiry = self._vault.time() + file.attestation_seconds
        message, signatures = self._collect(
            {"format": REQUEST_FORMAT, "bundle": bundle, "round": str(number), "expiry": str(expiry)}
        )
        found = proven(operator, run_id)
        breach, top_up = found.said(self._most_bits())
        for name, wanted in (
            ("run", key),
            ("commitments", breach.commitments),
            ("breachMatrix", breach.matrix),
            ("topUpMatrix", top_up.matrix),
            ("breachContext", breach.context),
            ("topUpContext", top_up.context),
        ):
            if message[name] != wanted:
                raise NotCarriable(f"{name}: the signers attest another one than the answer's proofs are about")
        if not self._vault.takes_parts():
            return self._vault.settling(message, signatures, found.calldata())
        answer, plan = self._in_parts(run_id)
        if found.is_whole and not list(plan.parts()):
            return self._vault.settling(message, signatures, answer.arguments)
        return self._vault.settling_parts(message, signatures, answer, plan, key)

    def _most_bits(self) -> int:
        return PARTIAL_BITS if self._vault.takes_parts() else ONE_CHUNK_BITS

    def _in_parts(self, run_id: str) -> tuple[Answer, Plan]:
        """Return a run's proofs and their plan; the last one is kept, since it is asked for at every look."""
        if self._kept is None or self._kept[0] != run_id:
            self._kept = (run_id, *proven(self._operator, run_id).in_parts())
        return self._kept[1:]
