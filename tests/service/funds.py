"""Institutions of the tests in one process: an identity, keys, and what was submitted."""

from dataclasses import dataclass, field
from functools import cached_property

from atomic_margin.service.institution.openings import KeyOpenings, commit_keys
from atomic_margin.service.institution.store import OwnSubmission
from atomic_margin.service.protocol.keys import KeyPair
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import Submission

from .double import PlainKeys


@dataclass
class Sent:
    """A submission with what opens its commitments."""

    signed: SignedDocument
    values: tuple[int, ...]
    blindings: tuple[int, ...]

    @property
    def submission(self) -> Submission:
        return Submission.parse(self.signed.body)

    def own(self) -> OwnSubmission:
        """The row that an agent keeps of it."""
        return OwnSubmission(
            sequence=self.submission.sequence,
            sha256=self.signed.body_hash(),
            document=self.signed.to_json(),
            blindings=[str(blinding) for blinding in self.blindings],
        )


@dataclass
class Fund:
    """An institution: its identity, its keys and what it submitted."""

    name: str
    identity: Identity = field(default_factory=Identity.generate)
    sent: dict[int, Sent] = field(default_factory=dict)
    secret: PlainKeys = field(default_factory=PlainKeys)

    def copy(self, sent: bool) -> "Fund":
        """Return the same institution for another test, with what it sent so far or without."""
        other = Fund(self.name, self.identity, dict(self.sent) if sent else {})
        other.__dict__["openings"] = self.openings
        return other

    @cached_property
    def openings(self) -> KeyOpenings:
        return commit_keys(self.secret, bytes(32), {"institution": self.name})

    @property
    def pair(self) -> KeyPair:
        return self.openings.pair

    def keys(self) -> bytes:
        return b"evaluation keys of " + self.name.encode()
