"""The document by which an institution names its account in a vault on a chain, and what a signer is asked by it. Pure.

Commitments are public once a submission is: without the institution's own word anybody could register another's book
as his, and with it the first account to which it belongs for ever.
"""

import re
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import PlainValidator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Counter, PublicKey
from atomic_margin.documents.strict import Document, Identifier, ListOf, integer_in, problem
from atomic_margin.service.protocol.bodies import Body

JsonObject = dict[str, Any]

_ADDRESS = re.compile("0x[0-9a-f]{40}")


def _address(value: object) -> str:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value) or not int(value, 16):
        raise problem(MalformedDocument, "an address is 0x and 40 lower-case hex digits here, and not all zeros")
    return value


ChainAddress: TypeAlias = Annotated[str, PlainValidator(_address)]
"""An address on an EVM chain, in lower case, so that it has one spelling in what is signed."""


class ChainAccount(Body):
    """That an account of a vault is the institution's. Signed by its identity key.

    It says whose the account is, once for all its books; that a book is to be in force there the account's own key
    signs each time.

    Attributes:
        institution: its name.
        operator: public key of the operator to whom it submits its books.
        chain: id of the chain.
        vault: address of the vault.
        account: the institution's address there.
    """

    TYPE = "chain-account"
    institution: Identifier
    operator: PublicKey
    chain: Counter
    vault: ChainAddress
    account: ChainAddress


class RegistrationRequest(Document):
    """What a signer is asked about a book, format ``atomic-margin/registration-request/1``.

    Attributes:
        format: of the request.
        model: terms that the book is under.
        universe: likewise.
        schedule: likewise.
        revisions: signed ones of the universe, in order, from the one in a trust file on; absent where there are none.
        enrolment: that the book's keys are of, signed by the institution.
        submission: the book, signed by the institution.
        rotations: signed ones of the institution's identity key, in order; absent where there are none.
        account: a signed `ChainAccount`.
        sequence: one more than that of the account's last attested document.
        expiry: last second at which the attestation counts, by the chain's clock.
    """

    TAG: ClassVar[str] = "registration-request"

    format: Literal["atomic-margin/registration-request/1"]
    model: JsonObject
    universe: JsonObject
    revisions: ListOf[JsonObject] | None = None
    schedule: JsonObject
    enrolment: JsonObject
    submission: JsonObject
    rotations: ListOf[JsonObject] | None = None
    account: JsonObject
    sequence: Annotated[int, integer_in(1, 2**63 - 1)]
    expiry: Annotated[int, integer_in(0, 2**63 - 1)]
