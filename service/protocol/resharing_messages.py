"""Bodies of the operator's HTTP interface for re-sharings, as types; see `messages` for their rules.

Nothing in them is believed: a deal that is shown has a hash, which the account's state or a signed document names.
"""

from typing import Annotated, TypeAlias

from pydantic import Field

from atomic_margin.documents.strict import ListOf
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.messages import Count, JsonObject, RequestBody, ResponseBody
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.sharing.messages import Deal
from atomic_margin.zk.sharing.statement import Custodian, SharingStatement

_HEX = r"^([0-9a-f]{2})+$"
_Hex: TypeAlias = Annotated[str, Field(pattern=_HEX, max_length=1 << 23)]


class HolderShown(ResponseBody):
    """One who holds shares of a deal."""

    point: Count
    identity: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DealShown(ResponseBody):
    """All that is public of a deal, whatever it came from: an institution's dealing, or a re-sharing before.

    Attributes:
        commitments: of the book.
        threshold: how many custodians have it together.
        custodians: of the deal, by ascending point.
        context: what the deal belongs to.
        coefficients: bytes of the deal, hex.
    """

    commitments: ListOf[_Hex]
    threshold: Count
    custodians: ListOf[HolderShown]
    context: dict[str, str]
    coefficients: _Hex

    def deal(self, named: str) -> Deal:
        """Return the deal, if it is the one of that hash.

        Raises:
            Refused: it is another one, or none.
        """
        try:
            holders = tuple(Custodian(one.point, bytes.fromhex(one.identity)) for one in self.custodians)
            points = tuple(bytes.fromhex(point) for point in self.commitments)
            statement = SharingStatement(points, self.threshold, holders, self.context)
            deal = Deal.from_bytes(bytes.fromhex(self.coefficients), statement)
        except ProofError as error:
            raise Refused(f"what is shown is no deal: {error}", "coefficients") from error
        if deal.hash.hex() != named:
            raise Refused(f"another deal is shown than {named}", "deal")
        return deal


def shown(deal: Deal) -> DealShown:
    """Return what is public of a deal."""
    statement = deal.statement
    return DealShown(
        commitments=tuple(point.hex() for point in statement.commitments),
        threshold=statement.threshold,
        custodians=tuple(HolderShown(point=one.point, identity=one.identity.hex()) for one in statement.custodians),
        context=dict(statement.context),
        coefficients=deal.to_bytes().hex(),
    )


class ResharingAsked(RequestBody):
    """Whose book is to be re-shared to the custodians of the policy in force; and by whom, if that is to be chosen."""

    institution: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    dealers: ListOf[Count] | None = None


class PassedOnUpload(RequestBody):
    """What a dealer passes on.

    Attributes:
        passed_on: signed document (`resharing_documents.PassedOn`).
        coefficients: bytes of the dealer's deal, hex.
        boxes: what is encrypted to each new custodian, in the order of the policy, hex.
    """

    passed_on: JsonObject
    coefficients: _Hex
    boxes: ListOf[Annotated[str, Field(pattern=_HEX, max_length=1 << 20)]]


class ResharingStanding(ResponseBody):
    """How far a re-sharing is.

    Attributes:
        institution: whose book.
        request: signed document (`resharing_documents.ResharingRequest`).
        state: `open`, `entered`, or `over` without a result.
        expires_at: until when it may be entered.
        passed_on: by dealers, signed.
        receipts: of new custodians, signed.
        complaints: of new custodians about dealers, signed.
    """

    institution: str
    request: JsonObject
    state: str
    expires_at: str
    passed_on: ListOf[JsonObject] = ()
    receipts: ListOf[JsonObject] = ()
    complaints: ListOf[JsonObject] = ()


class Resharings(ResponseBody):
    """Re-sharings: of a custodian those in which something is left for it to do; of all the newest ones."""

    resharings: ListOf[ResharingStanding] = ()


class PassedOnShown(ResponseBody):
    """What a dealer passed on, as one new custodian sees it: with its own box."""

    passed_on: JsonObject
    coefficients: _Hex
    box: _Hex


class ResharingDeals(ResponseBody):
    """What a new custodian adds up: the deal before, and what every dealer passed on."""

    before: DealShown
    passed_on: ListOf[PassedOnShown] = ()
