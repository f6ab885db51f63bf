"""What signers are asked about the book in force, put together from the institution's own folder. Institution only.

A vault on a chain takes a book that its account signed and k of n signers attested (`contracts.registration`). They
verify the submission, and the institution's word that the account is its own. Nothing here is a secret; the identity
key signs that word.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from atomic_margin.service.errors import AgentRefused, ConfigurationError
from atomic_margin.service.institution.store import (
    InstitutionStore,
    OwnAccount,
    OwnDocument,
    OwnEntry,
    OwnSubmission,
)
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.chain_documents import ChainAccount, RegistrationRequest
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import Submission

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class BookInForce:
    """The book in force with what shows that it is one.

    Attributes:
        public: the account.
        submission: signed.
        enrolment: of its keys, signed.
        revisions: of the universe, signed by the operator.
        rotations: of the identity key, signed.
    """

    public: PublicState
    submission: JsonObject
    enrolment: JsonObject
    revisions: list[JsonObject]
    rotations: list[JsonObject]

    @property
    def commitments(self) -> bytes:
        """The hash of its commitments, as the chain has it."""
        points = Submission.parse(self.submission["body"]).commitments
        return hashlib.sha256(b"".join(map(bytes.fromhex, points))).digest()

    def request(
        self, identity: Identity, terms: Callable[[str], JsonObject], chain: int, vault: str, account: str
    ) -> Callable[[int, int], JsonObject]:
        """Return what makes requests, of the account's next number in the vault and an expiry.

        Args:
            identity: the institution's key in force; it signs that the account is the institution's.
            terms: gives the operator's model and schedule, and a universe by its hash; signers compare them with pins.
            chain: id of the chain.
            vault: address.
            account: the institution's address there.

        Raises:
            AgentRefused: the key is not the one in force.
        """
        if identity.public_key != self.public.identity:
            raise AgentRefused("the identity key in the folder is not the account's key in force; follow its entries")
        word = ChainAccount.parse(
            {
                "institution": self.public.institution,
                "operator": self.public.operator,
                "chain": str(chain),
                "vault": vault.lower(),
                "account": account.lower(),
            }
        ).signed_by(identity)
        said = {
            "format": "atomic-margin/registration-request/1",
            "model": terms("model"),
            "universe": terms(self.submission["body"]["universe"]),
            "schedule": terms("schedule"),
            "enrolment": self.enrolment,
            "submission": self.submission,
            "account": word.to_json(),
            **({"revisions": self.revisions} if self.revisions else {}),
            **({"rotations": self.rotations} if self.rotations else {}),
        }

        def made(sequence: int, expiry: int) -> JsonObject:
            request = {**said, "sequence": str(sequence), "expiry": str(expiry)}
            RegistrationRequest.parse(request)
            return request

        return made


def book_in_force(directory: Path) -> BookInForce:
    """Return the book in force of the account in an agent's folder, as the agent has followed it.

    Raises:
        ConfigurationError: there is no agent's folder.
        AgentRefused: no book is in force, or it was not made here.
    """
    if not (directory / "institution.db").is_file():
        raise ConfigurationError(f"{directory / 'institution.db'} is not there; --dir is the agent's folder")
    store = InstitutionStore(directory)
    try:
        with store.unit_of_work() as session:
            return _book_in_force(session)
    finally:
        store.close()


def _book_in_force(session: Session) -> BookInForce:
    row = session.get(OwnAccount, 1)
    public = None if row is None or row.public is None else PublicState.parse(row.public)
    if public is None or public.book is None:
        raise AgentRefused("no book is in force; submit one, and wait until its entry came")
    own = session.query(OwnSubmission).filter_by(sha256=public.book.submission).one_or_none()
    if own is None:
        raise AgentRefused("the book in force was not made in this folder: register it where it was made")
    wanted = own.document["body"]["evaluation_keys"]
    enrolments = [
        one.document
        for one in session.query(OwnDocument).filter_by(type="enrolment").order_by(OwnDocument.id)
        if one.document["body"]["evaluation_keys"] == wanted and one.superseded is None
    ]
    if not enrolments:
        raise AgentRefused("the enrolment of the book's keys is not in this folder: register it where they were made")
    rotations = session.query(OwnDocument).filter(OwnDocument.entry.is_not(None)).filter_by(type="identity-rotation")
    revised = session.query(OwnEntry).filter_by(kind=str(EventKind.UNIVERSE_REVISED)).order_by(OwnEntry.number)
    return BookInForce(
        public,
        own.document,
        enrolments[-1],
        [one.document for one in revised if one.document is not None],
        [one.document for one in rotations.order_by(OwnDocument.entry)],
    )
