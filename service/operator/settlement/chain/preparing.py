"""Get together what settles a run that is open on the chain: the signers' attestation and the proofs of the answer."""

from typing import Any, Protocol

from atomic_margin.contracts.collect import Collected
from atomic_margin.service.operator.attestations import unsettled_bundle
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.settlement.chain.errors import NotCarriable, SignersSilent
from atomic_margin.service.operator.settlement.chain.evidence import proven
from atomic_margin.service.operator.settlement.chain.rail import Ready
from atomic_margin.service.operator.settlement.chain.settings import RailSettings
from atomic_margin.service.operator.settlement.chain.vault import VaultOnChain
from atomic_margin.service.operator.store.tables import Run

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

    def book(self, run_id: str) -> bytes:
        """Return hash(V) of a run that this chain can settle, before it is opened.

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
        breach, _ = found.said()
        holder = self._vault.holder(breach.commitments)
        if holder is None or holder != self._settings.file.accounts.get(found.record.institution):
            whose = "not registered in the vault" if holder is None else f"registered by {holder}"
            raise NotCarriable(
                f"book {breach.commitments.hex()[:16]} of {found.record.institution} is {whose}: have the institution "
                "register it from its account (`institution register-book`)"
            )
        return breach.commitments

    def ready(self, run_id: str, key: bytes, number: int) -> Ready:
        """Return what settles a run that is open on the chain, in its round of this number.

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
        breach, top_up = found.said()
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
        return Ready(message, signatures, found.calldata())
