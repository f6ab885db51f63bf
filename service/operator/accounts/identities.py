"""Replace identity keys of institutions: entered at once, if both keys signed it and nobody else has the new one."""

from sqlalchemy.orm import Session

from atomic_margin.service.errors import Conflict
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store import entries
from atomic_margin.service.operator.store.tables import Account, ReplacedKey
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.signing import SignedDocument


def rotate(operator: Operator, institution: str, document: object) -> SignedDocument:
    """Put another identity key in the place of an institution's; return the signed entry. The same again gets the same.

    From the entry on requests and documents count under the new key alone: `store.entries` writes it with the entry.

    Raises:
        SignatureInvalid, Conflict, DocumentError: what is wrong; nothing is stored. AccountHeld: it is held, and the
            operator's people agreed on another key, or on none.
    """
    operator.account(institution)
    signed, rotation = parse_signed(document, IdentityRotation)
    with operator.announcing, operator.store.unit_of_work() as session:
        earlier = entries.entry_of(session, institution, signed.body_hash())
        if earlier is not None:
            return SignedDocument.parse(earlier.entry)
        account = session.get_one(Account, institution)
        signed.verify(frozenset({account.identity}))
        operator.holds.require_open(institution, rotation.new)
        require_free(session, rotation.new, "new")
        return entries.enter(session, operator.book, account, signed)


def require_free(session: Session, key: str, field: str) -> None:
    """Make sure that a key is no institution's here, and never was.

    Raises:
        Conflict: it is, or was.
    """
    taken = session.query(Account.institution).filter_by(identity=key).first() is not None
    if taken or session.get(ReplacedKey, key) is not None:
        raise Conflict("another institution has this identity key, or had it", field)
