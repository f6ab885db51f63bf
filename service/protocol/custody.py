"""Custody policies: which custodians hold shares of an account's books, and what it takes to open one. Pure.

Multiplying shares takes 2t - 1 custodians, and all of those who begin: so f of them may be away if n - f is at least as
many. A book comes in force with the receipts of 2t - 1 + f of them.

>>> from atomic_margin.service.protocol.signing import Identity
>>> def custodian(point: int) -> dict[str, str]:
...     key = Identity.generate().public_key
...     sealed_to = f"{point + 8:02x}" * 32
...     return {"point": str(point), "name": f"custodian-{point}", "identity": key, "encryption_key": sealed_to}
>>> policy = CustodyPolicy.parse({
...     "format": "atomic-margin/custody/1", "name": "custody of 2026", "threshold": "2", "absent": "1",
...     "custodians": [custodian(point) for point in (1, 2, 3, 4)],
...     "deal_seconds": "600", "opening_after_seconds": "3600", "openings": "3",
... })
>>> policy.present, policy.receipts
(3, 4)
"""

from functools import cached_property
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import PlainValidator, model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import PublicKey
from atomic_margin.documents.strict import (
    Document,
    Identifier,
    Label,
    ListOf,
    Part,
    integer_in,
    problem,
    require_unique,
)
from atomic_margin.service.protocol.share_boxes import fault_of_encryption_key
from atomic_margin.zk.sharing.statement import MAX_CUSTODIANS, MAX_POINT, MIN_THRESHOLD, Custodian


def _encryption_key(value: object) -> str:
    if not isinstance(value, str):
        raise problem(MalformedDocument, "an X25519 public key, 64 lower-case hex digits")
    fault = fault_of_encryption_key(value)
    if fault is not None:
        raise problem(MalformedDocument, fault)
    return value


EncryptionKey: TypeAlias = Annotated[str, PlainValidator(_encryption_key)]
"""An X25519 public key in its one spelling, not of small order."""


class CustodianKeys(Part):
    """One who holds shares.

    Attributes:
        point: where its shares are evaluated, 1 to 65,535; pinned, since shares of another point fit nothing.
        name: for people.
        identity: Ed25519 key that signs its receipts and verdicts.
        encryption_key: X25519 key that shares are encrypted to, 32 bytes.
    """

    point: Annotated[int, integer_in(1, MAX_POINT)]
    name: Identifier
    identity: PublicKey
    encryption_key: EncryptionKey


class CustodyPolicy(Document):
    """Who holds shares of the books of an account, how many of them open one, and when. Both sides agree to it.

    Attributes:
        format: of the document.
        name: for people.
        threshold: t, how many custodians have a book together; fewer know nothing of it.
        absent: f, how many of them may be away when a book is opened.
        custodians: n of them, by ascending point; n - f is at least 2t - 1.
        deal_seconds: a deal takes receipts for so long; then the institution deals anew.
        opening_after_seconds: an opening may be asked for so long after the answer was overdue, by the clocks of
            custodians and from when witnesses had seen that it is.
        openings: of one book, at most.
    """

    TAG: ClassVar[str] = "custody"

    format: Literal["atomic-margin/custody/1"]
    name: Label
    threshold: Annotated[int, integer_in(MIN_THRESHOLD, MAX_CUSTODIANS)]
    absent: Annotated[int, integer_in(0, MAX_CUSTODIANS)]
    custodians: ListOf[CustodianKeys]
    deal_seconds: Annotated[int, integer_in(1, 604_800)]
    opening_after_seconds: Annotated[int, integer_in(0, 2_592_000)]
    openings: Annotated[int, integer_in(1, 1000)]

    @model_validator(mode="after")
    def _check(self) -> "CustodyPolicy":
        n, needed = len(self.custodians), 2 * self.threshold - 1
        if n > MAX_CUSTODIANS:
            raise MalformedDocument("custodians", f"at most {MAX_CUSTODIANS} custodians")
        if n - self.absent < needed:
            raise MalformedDocument(
                "custodians",
                f"an opening with threshold {self.threshold} takes {needed} custodians, and {self.absent} of {n} may "
                f"be away: name {needed + self.absent}, or more",
            )
        for index in range(1, n):
            if self.custodians[index].point <= self.custodians[index - 1].point:
                raise MalformedDocument(f"custodians[{index}].point", "order custodians by points, each point once")
        for name in ("name", "identity", "encryption_key"):
            require_unique([getattr(one, name) for one in self.custodians], f"custodians[{{}}].{name}".format)
        return self

    @property
    def present(self) -> int:
        """How many custodians it takes to open a book: 2t - 1."""
        return 2 * self.threshold - 1

    @property
    def receipts(self) -> int:
        """How many receipts bring a book in force: 2t - 1 + f."""
        return self.present + self.absent

    @cached_property
    def by_point(self) -> dict[int, CustodianKeys]:
        """The custodians by their points."""
        return {one.point: one for one in self.custodians}

    @cached_property
    def by_identity(self) -> dict[str, CustodianKeys]:
        """The custodians by their identity keys."""
        return {one.identity: one for one in self.custodians}

    @property
    def holders(self) -> tuple[Custodian, ...]:
        """The same for the sharing statement."""
        return tuple(Custodian(one.point, bytes.fromhex(one.identity)) for one in self.custodians)
