"""Documents of a re-sharing: what the operator asks of custodians, what one passes on, and what came of it. Pure.

A re-sharing moves the shares of a book to the custodians of the policy in force, or makes those of the same ones anew,
without the institution (`zk.sharing.resharing`). The request is no event of the account; the result is.
"""

from itertools import pairwise

from pydantic import model_validator

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Hash, PublicKey, Time
from atomic_margin.documents.strict import Identifier, ListOf, Part
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.dealings import JsonObject, Point


class SharedUnder(Part):
    """The deal that a book is shared by.

    Attributes:
        policy: hash of the custody policy that it was dealt under.
        deal: its hash.
    """

    policy: Hash
    deal: Hash


class ResharingRequest(Body):
    """The operator asks some custodians of a book to pass their shares on to those of a policy.

    It names the book by its commitments, not by a submission: the same ones under new keys have the same shares.

    Attributes:
        institution: whose book.
        operator: who asks.
        book: hash of commitments, columns and gross limit, see `account.values.commitments_hash`.
        before: what the book is shared by.
        policy: hash of the custody policy that it goes over to; the same one makes shares anew.
        dealers: points of those who pass on, as many as have the book together, ascending.
        requested_at: time.
    """

    TYPE = "resharing-request"
    institution: Identifier
    operator: PublicKey
    book: Hash
    before: SharedUnder
    policy: Hash
    dealers: ListOf[Point]
    requested_at: Time

    @model_validator(mode="after")
    def _check(self) -> "ResharingRequest":
        _require_ascending(self.dealers)
        return self


class PassedOn(Body):
    """A dealer's deal of its own shares. What is encrypted comes beside it.

    Attributes:
        institution: whose book.
        operator: at whom.
        request: hash of the request.
        point: of the dealer, in the policy before.
        custodian: the dealer, who signs.
        deal: hash of its deal, which depends on all of its points.
        boxes: SHA-256 of what is encrypted to each new custodian, in the order of the policy.
    """

    TYPE = "passed-on"
    institution: Identifier
    operator: PublicKey
    request: Hash
    point: Point
    custodian: PublicKey
    deal: Hash
    boxes: ListOf[Hash]


class Resharing(Body):
    """A book is shared by another deal from now on: new custodians have receipted their shares of it.

    Attributes:
        institution: whose book.
        operator: who carried it.
        entry: hash of the account's last entry.
        book: as in the request.
        before: as in the request.
        policy: as in the request.
        dealers: as in the request.
        requested_at: as in the request.
        deal: hash of the new deal, the sum of those of the dealers.
        receipts: of new custodians, signed; each names the request where one of a deal names the dealing.
        reshared_at: time.
    """

    TYPE = "resharing"
    institution: Identifier
    operator: PublicKey
    entry: Hash
    book: Hash
    before: SharedUnder
    policy: Hash
    dealers: ListOf[Point]
    requested_at: Time
    deal: Hash
    receipts: ListOf[JsonObject]
    reshared_at: Time

    @model_validator(mode="after")
    def _check(self) -> "Resharing":
        _require_ascending(self.dealers)
        return self

    @property
    def request(self) -> ResharingRequest:
        """What was asked for."""
        said = self.canonical()
        if not isinstance(said, dict):
            raise TypeError("a body is a JSON object")
        return ResharingRequest.parse({name: said[name] for name in ResharingRequest.model_fields})


def request_hash(request: ResharingRequest) -> str:
    """Return what dealers and receipts name: the hash of the request."""
    return canonical_hash(ResharingRequest.TYPE, request.canonical())


def _require_ascending(dealers: tuple[int, ...]) -> None:
    for index, (before, point) in enumerate(pairwise(dealers), 1):
        if point <= before:
            raise MalformedDocument(f"dealers[{index}]", "order dealers by points, each point once")
