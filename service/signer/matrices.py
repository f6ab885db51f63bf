"""What may be attested of a run: from its bundle, which is verified whole, and the vault's picture of it. No I/O.

(1) The bundle of a breach that is not settled yet verifies under the signer's own trust file, the log included.
(2) The contract can verify both statements of the answer; they give commitments, matrices and contexts.
(3) The vault has this run open, at this tick, on these commitments.
(4) What the run counts as posted is what the vault has posted, and nothing else.
(5) The rate turns the proven top-up into the quantity that the operator's rule moves, were free collateral unlimited.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.calldata import PARTIAL_BITS, Checked, expected
from atomic_margin.contracts.errors import CalldataError
from atomic_margin.contracts.run_keys import MAX_ROUNDS, run_key
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.documents.strict import MAX_QUANTITY, Document, integer_in
from atomic_margin.margin.errors import MarginError
from atomic_margin.service.errors import AttestationInvalid, RequestError
from atomic_margin.service.protocol.account.agreements import eligible_assets
from atomic_margin.service.protocol.account.opening_documents import Opened
from atomic_margin.service.protocol.answer_claims import AnswerGround, answer_claims
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.settlements import rightful_transfers
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import VerifiedBreach
from atomic_margin.service.signer.errors import (
    BundleRefused,
    ChainDiffers,
    CollateralDiffers,
    ExpiryRefused,
    NotForTheChain,
    NothingToSettle,
    NotInTheSet,
    RunNotOpen,
)
from atomic_margin.service.signer.vault import Moment, RunOnChain
from atomic_margin.service.verifier.attestation import Attestation, PublishedBundle, verify_attestation
from atomic_margin.zk.groups import Group
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement

JsonObject = dict[str, Any]

RATE_UNIT = 10**18
MAX_RATE = (1 << 128) - 1
MAX_EXPIRY_SECONDS = 24 * 3600
"""How far ahead an expiry may be: a signature cannot be taken back."""


class SettlementRequest(Document):
    """What a signer is asked about a run, format ``atomic-margin/settlement-request/1``.

    Attributes:
        bundle: as published, with what shows its entries in the log; of a breach that is not settled.
        expiry: last second at which the attestation counts, by the chain's clock.
        round: how often the run lapsed on the chain before.
    """

    TAG: ClassVar[str] = "settlement-request"

    format: Literal["atomic-margin/settlement-request/1"]
    bundle: JsonObject
    expiry: Annotated[int, integer_in(0, 2**63 - 1)]
    round: Annotated[int, integer_in(0, MAX_ROUNDS - 1)]


@dataclass(frozen=True)
class Place:
    """What one signer signs for.

    Attributes:
        addresses: of the chain and its contracts.
        decimals: of the token.
    """

    addresses: ChainAddresses
    decimals: int


@dataclass(frozen=True)
class VerifiedRun:
    """What a bundle shows that verifies.

    Attributes:
        ground: record, prices and terms.
        breach: what is settled.
        breach_checked, top_up_checked: what the contract returns for both proofs.
        log: root of the checkpoint that has the run's entry.
        eligible: assets that the account's agreement lets be posted; None for all.
    """

    ground: AnswerGround
    breach: VerifiedBreach
    breach_checked: Checked
    top_up_checked: Checked
    log: bytes
    eligible: tuple[str, ...] | None

    def run(self, number: int) -> bytes:
        """Return the name of the run on the chain, in its round of this number."""
        return run_key(bytes.fromhex(self.breach.run_hash), number)


def claimed_run(bundle: object, operator: str) -> bytes:
    """Return which run a bundle is about, before anything that takes long: whether it holds is not looked at.

    Raises:
        BundleRefused: it has another form, or the operator did not sign it.
    """
    try:
        signed, body = parse_signed(PublishedBundle.parse(bundle).signed(), Attestation)
        signed.verify(frozenset({operator}))
        run, _ = parse_signed(body.run, RunRecord)
    except (RequestError, DocumentsError) as error:
        raise BundleRefused("attestation", str(error)) from error
    return bytes.fromhex(run.body_hash())


def verified_run(bundle: object, trust: TrustFile, group: Group) -> VerifiedRun:
    """Verify the bundle of a breach that is not settled yet.

    Args:
        bundle: as published.
        trust: the signer's own anchors, with a log.
        group: backend of the proofs.

    Raises:
        BundleRefused: a step does not hold.
        NothingToSettle: it is no breach.
        NotForTheChain: the contract does not verify such statements.
    """
    try:
        report = verify_attestation(bundle, trust, group, unsettled=True)
    except AttestationInvalid as error:
        raise BundleRefused(error.step, error.detail) from error
    if not isinstance(report.result, VerifiedBreach):
        raise NothingToSettle("the run is answered as covered: end it on the chain by `endCovered`", "bundle")
    if isinstance(report.answer, Opened):
        raise NotForTheChain("the breach was opened by custodians: the contracts take proofs of the institution alone")
    if report.checkpoint is None or report.ground is None or report.answer is None:
        raise BundleRefused("log", "the signer's trust file names no log; without one nothing is signed")
    claims = answer_claims(report.answer, report.ground)
    history = Attestation.parse(PublishedBundle.parse(bundle).body).history
    return VerifiedRun(
        report.ground,
        report.result,
        _expected(claims["breach_proof"].statement),
        _expected(claims["sufficiency_proof"].statement),
        report.checkpoint.head.root,
        eligible_assets(history.recorded.public),
    )


def matrix_message(run: VerifiedRun, chain: RunOnChain, place: Place, expiry: int, number: int = 0) -> dict[str, Any]:
    """Return the `MatrixAttestation` of a verified run that the vault has open.

    Args:
        run: as its bundle shows it.
        chain: the vault's picture of it.
        place: what is signed for.
        expiry: that was asked for.
        number: of the run's round on the chain.

    Raises:
        RunNotOpen, ChainDiffers: the vault has it otherwise.
        CollateralDiffers: something else counts than the token, or no quantity of it is worth the top-up.
        ExpiryRefused, NotInTheSet: by the chain's clock and set.
    """
    require_counted(chain.at)
    require_expiry(expiry, chain.at)
    record, addresses = run.ground.record, place.addresses
    if not chain.open:
        raise RunNotOpen("the vault does not have this run open: open it there before you ask, and ask in time", "run")
    for name, said, wanted in (
        ("tick", chain.tick, record.price_sequence),
        ("commitments", chain.commitments.hex(), run.breach_checked.commitments.hex()),
    ):
        if said != wanted:
            raise ChainDiffers(f"the vault opened the run with {name} {said}, and the bundle shows {wanted}", name)
    if run.breach_checked.commitments != run.top_up_checked.commitments:
        raise BundleRefused("answer", "both proofs are about other commitments")
    require_posted(record.posted, chain.posted, addresses.asset)
    quantity = moved(run, place)
    top_up = run.breach.top_up
    rate = quantity * RATE_UNIT // top_up
    if not 0 < rate <= MAX_RATE or -(-top_up * rate // RATE_UNIT) != quantity:
        raise CollateralDiffers(
            f"no rate turns a top-up of {top_up} units into {quantity} of {addresses.asset}: coarsen the unit", "top_up"
        )
    return {
        "chain": addresses.chain,
        "vault": addresses.vault,
        "account": chain.account,
        "run": run.run(number),
        "tick": record.price_sequence,
        "log": run.log,
        "commitments": run.breach_checked.commitments,
        "breachMatrix": run.breach_checked.matrix,
        "topUpMatrix": run.top_up_checked.matrix,
        "breachContext": run.breach_checked.context,
        "topUpContext": run.top_up_checked.context,
        "topUp": run.top_up_checked.top_up,
        "free": chain.free,
        "posted": chain.posted,
        "rate": rate,
        "signerSet": chain.at.signer_set,
        "expiry": expiry,
    }


def require_posted(counted: Mapping[str, int], posted: int, asset: str) -> None:
    """Make sure that a run counts what the vault has posted, and nothing else.

    Raises:
        CollateralDiffers: it counts another asset.
        ChainDiffers: the vault has another balance.
    """
    others = sorted(name for name, quantity in counted.items() if name != asset and quantity)
    if others:
        raise CollateralDiffers(
            f"the run counts posted {', '.join(others)}, which the vault does not hold; it holds {asset} alone",
            "posted",
        )
    if counted.get(asset, 0) != posted:
        raise ChainDiffers(
            f"the run counts {counted.get(asset, 0)} of {asset} as posted, and the vault has {posted}: the ledger has "
            "to mirror the vault before a run is opened",
            "posted",
        )


def moved(run: VerifiedRun, place: Place) -> int:
    """Return the quantity of the token's asset that meets the call, by the operator's rule.

    Raises:
        CollateralDiffers: the schedule counts it otherwise, the agreement does not let it be posted, or no quantity of
            it is worth the top-up.
    """
    asset, ground = place.addresses.asset, run.ground
    scheduled = ground.terms.schedule.by_id.get(asset)
    if scheduled is None:
        raise CollateralDiffers(
            f"the collateral schedule has no {asset}, which the vault's token is said to be", "asset"
        )
    if scheduled.decimals != place.decimals:
        raise CollateralDiffers(
            f"the schedule counts {asset} with {scheduled.decimals} decimals, and the token has {place.decimals}",
            "asset",
        )
    counted = ground.record.posted
    try:
        rightful = rightful_transfers(
            ground.terms,
            ground.market,
            run.breach.top_up_usd,
            counted=counted,
            free={asset: MAX_QUANTITY - counted.get(asset, 0)},
            posted=counted,
            eligible=run.eligible,
        )
    except MarginError as error:
        raise CollateralDiffers(f"{asset} cannot be valued at the run's prices: {error}", "asset") from error
    if rightful.kind != "margin_call" or [move.asset for move in rightful.transfers] != [asset]:
        raise CollateralDiffers(
            f"no quantity of {asset} is worth {run.breach.top_up_usd} USD more: its tiers, its dates or the account's "
            "agreement do not let more of it count",
            "asset",
        )
    return rightful.transfers[0].quantity


def require_counted(at: Moment) -> None:
    """Make sure that the oracle counts the signer.

    Raises:
        NotInTheSet: it does not.
    """
    if not at.counted:
        raise NotInTheSet(f"set {at.signer_set}, which is in force, does not have this signer; ask those that it has")


def require_expiry(expiry: int, at: Moment) -> None:
    """Make sure that an expiry is to come, and soon enough.

    Raises:
        ExpiryRefused: it is not.
    """
    if not at.now < expiry <= at.now + MAX_EXPIRY_SECONDS:
        raise ExpiryRefused(
            f"the chain's time is {at.now}: name an expiry after that and at most {MAX_EXPIRY_SECONDS} seconds ahead, "
            f"got {expiry}",
            "expiry",
        )


def _expected(statement: object) -> Checked:
    if not isinstance(statement, (BreachStatement, SufficiencyStatement)):
        raise NotForTheChain("the contract verifies breaches and sufficiency alone", "answer")
    try:
        # A vault that takes fewer bits refuses the proof itself.
        return expected(statement, most_bits=PARTIAL_BITS)
    except CalldataError as error:
        raise NotForTheChain(str(error), "answer") from error
