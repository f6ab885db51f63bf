"""Register the newest book in a vault on a chain: what signers are asked, and what the account's own key signs.

Everything is from the agent's database and the operator's published terms; the agent may run meanwhile.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.institution.export import exported
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.account_export import AccountExport
from atomic_margin.service.protocol.chain_documents import ChainAccount
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.trust import TrustFile

JsonObject = dict[str, Any]

REQUEST_FORMAT = "atomic-margin/registration-request/1"
IDENTITY_FILE = "identity.key"
TERMS = ("model", "universe", "schedule")


class Place(NamedTuple):
    """An account in a vault.

    Attributes:
        chain: id of the chain.
        vault: its address.
        account: the institution's address.
    """

    chain: int
    vault: str
    account: str


def registration_request(
    directory: Path, trust: TrustFile, terms: Mapping[str, JsonObject], place: Place, sequence: int, expiry: int
) -> JsonObject:
    """Return what signers are asked about the newest book that the operator took.

    Args:
        directory: the agent's folder.
        trust: the institution's own trust file.
        terms: `model`, `universe` and `schedule` as the operator publishes them; they have to be the trusted ones.
        place: whose account the book is to be.
        sequence: one more than that of the account's last document in the vault.
        expiry: last second at which the attestation counts, by the chain's clock.

    Raises:
        ConfigurationError: the agent has followed no submission yet.
    """
    found = exported(directory)
    submission = _newest(found, EventKind.SUBMITTED)
    enrolment = next(
        (one for one in reversed(_all(found, EventKind.KEYS_ENROLLED)) if _goes_with(one, submission)), None
    )
    if enrolment is None:
        raise ConfigurationError("the agent's database lacks the enrolment of the submission's keys; restore a backup")
    account = ChainAccount.parse(
        {
            "institution": found.institution,
            "operator": trust.operator,
            "chain": str(place.chain),
            "vault": place.vault.lower(),
            "account": place.account.lower(),
        }
    ).signed_by(_identity(directory))
    extra = {
        "revisions": _all(found, EventKind.UNIVERSE_REVISED),
        "rotations": _all(found, EventKind.IDENTITY_ROTATED),
    }
    return {
        "format": REQUEST_FORMAT,
        **{name: terms[name] for name in TERMS},
        "enrolment": enrolment,
        "submission": submission,
        "account": account.to_json(),
        "sequence": str(sequence),
        "expiry": str(expiry),
        **{name: documents for name, documents in extra.items() if documents},
    }


def book_hash(request: JsonObject) -> bytes:
    """Return hash(V) of the book of a request, as the vault has it."""
    points = Submission.parse(request["submission"]["body"]).commitments
    return hashlib.sha256(b"".join(map(bytes.fromhex, points))).digest()


def _identity(directory: Path) -> Identity:
    if not (directory / IDENTITY_FILE).is_file():
        raise ConfigurationError(f"{directory / IDENTITY_FILE} is not there; --dir is the agent's folder")
    return Identity.load_or_create(directory / IDENTITY_FILE)


def _all(found: AccountExport, kind: EventKind) -> list[JsonObject]:
    return [one.document.to_json() for one in found.entries if one.entry.body["kind"] == kind]


def _newest(found: AccountExport, kind: EventKind) -> JsonObject:
    documents = _all(found, kind)
    if not documents:
        raise ConfigurationError("the operator took no book of this institution yet: submit one first")
    return documents[-1]


def _goes_with(enrolment: JsonObject, submission: JsonObject) -> bool:
    said = Submission.parse(submission["body"]).evaluation_keys
    return bool(enrolment["body"]["evaluation_keys"] == said)
