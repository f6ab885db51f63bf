"""The trust file: the anchors of a verifier or an institution.

>>> LogTrust.parse({"key": "a.example/log+0000+AAAA", "witnesses": [], "threshold": "1", "max_age_seconds": "60"})
Traceback (most recent call last):
    ...
atomic_margin.documents.errors.MalformedDocument: key: a key is name+identifier+base64, as its owner prints it
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

from pydantic import PlainValidator, model_validator

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.documents.fields import Hash, PublicKey, require_public_key
from atomic_margin.documents.strict import (
    Document,
    IdMap,
    ListOf,
    NonEmptyListOf,
    integer_in,
    problem,
    require_unique,
)
from atomic_margin.margin.collateral.agreement import CollateralAgreement
from atomic_margin.service.protocol.breakers import BreakerRules
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.price_rules import PriceRules

MAX_WITNESSES = 32
_KEY = re.compile(r"([^\s+\x00-\x20\x7f]{1,128})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")


def _note_key(kind: int, what: str) -> Callable[[object], str]:
    """Return a validator for a key of signed notes, of one type: name, identifier, and type with key in base64."""

    def check(value: object) -> str:
        found = _KEY.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise problem(MalformedDocument, "a key is name+identifier+base64, as its owner prints it")
        try:
            data = base64.b64decode(found[3], validate=True)
        except binascii.Error:
            data = b""
        if len(data) != 33 or data[0] != kind:
            raise problem(MalformedDocument, f"this is no key of {what}: type {kind} and 32 bytes are wanted")
        if hashlib.sha256(found[1].encode() + b"\n" + data).digest()[:4].hex() != found[2]:
            raise problem(MalformedDocument, "the identifier is another key's; copy the key again from its owner")
        require_public_key(data[1:].hex())
        return str(value)

    return check


LogKeyText: TypeAlias = Annotated[str, PlainValidator(_note_key(1, "a log"))]
"""Key of a log as people hand it on; `service.log.notes` has the other side of it."""
WitnessKeyText: TypeAlias = Annotated[str, PlainValidator(_note_key(4, "a witness"))]
"""Key of a witness, likewise."""


def public_key_of(key: str) -> str:
    """Return the Ed25519 public key, in hex, of a key that was parsed as one of the two above."""
    # Base64 may have a plus, names have none.
    return base64.b64decode(key.split("+", 2)[2])[1:].hex()


class LogTrust(Document):
    """Which log of the operator's is believed, and whose cosignatures that takes.

    With f witnesses that may lie, two histories need two sets of `threshold` witnesses of which at most f are in both:
    whoever wants one history asks for 2 threshold > witnesses + f.

    Attributes:
        key: of the log, from the operator: name+identifier+base64.
        witnesses: keys of those whose cosignatures count, from each of them, likewise.
        threshold: how many of them must have cosigned.
        max_age_seconds: how long ago so many may have seen a checkpoint that somebody acts on. It does not matter for
            what is archived.
    """

    TAG = "log-trust"
    key: LogKeyText
    witnesses: NonEmptyListOf[WitnessKeyText]
    threshold: Annotated[int, integer_in(1, MAX_WITNESSES)]
    max_age_seconds: Annotated[int, integer_in(1, 31_536_000)]

    @model_validator(mode="after")
    def _check(self) -> "LogTrust":
        if len(self.witnesses) > MAX_WITNESSES:
            raise MalformedDocument("witnesses", f"at most {MAX_WITNESSES} witnesses")
        if self.threshold > len(self.witnesses):
            raise MalformedDocument(
                "threshold", f"{self.threshold} of {len(self.witnesses)} witnesses can never cosign; lower it"
            )
        # Each counts once, under whatever name.
        for ids in ([key.partition("+")[0] for key in self.witnesses], list(self.witness_keys)):
            require_unique(ids, "witnesses[{}]".format)
        return self

    @property
    def origin(self) -> str:
        """Name of the log."""
        return self.key.partition("+")[0]

    @property
    def witness_keys(self) -> tuple[str, ...]:
        """Ed25519 public keys of the witnesses, in hex: what their delivery receipts are signed with."""
        return tuple(public_key_of(key) for key in self.witnesses)


class TrustFile(Document):
    """Trust anchors of a verifier or an institution. They come from here, never from a bundle.

    Attributes:
        prices: whose prices count, how many sources must agree, and within which bounds.
        keys: for each institution, the commitments to its FHE keys (`KeyPair.hash`), old ones and new.
        log: which log is believed, and whose cosignatures that takes; absent: no log is asked for, and every report
            says so.
        waterfall: hash of the rules by which a default is worked off; absent: none are agreed to.
        agreements: for each institution, the collateral agreements that its account may be under, old ones and new;
            absent for none.
        breakers: rules by which breaches wait when there are many; absent: none is said to wait.
        custody: for each institution, the custody policies that its account may be under; absent for none.
    """

    TAG = "trust"
    format: Literal["atomic-margin/trust/2"]
    operator: PublicKey
    prices: PriceRules
    institutions: IdMap[PublicKey]
    keys: IdMap[ListOf[Hash]]
    model: Hash
    universe: Hash
    schedule: Hash
    profile: Hash
    generators: Hash
    log: LogTrust | None = None
    waterfall: Hash | None = None
    agreements: IdMap[NonEmptyListOf[CollateralAgreement]] | None = None
    breakers: BreakerRules | None = None
    custody: IdMap[NonEmptyListOf[CustodyPolicy]] | None = None

    @model_validator(mode="after")
    def _check(self) -> "TrustFile":
        if self.log is not None and public_key_of(self.log.key) != self.operator:
            raise MalformedDocument("log.key", "not a key of the operator; ask it for the key of its log")
        return self

    def unpinned(self, institution: str, keys: str) -> str | None:
        """Say that FHE keys of an institution are not pinned, and what to do; None if they are.

        Args:
            institution: whose keys.
            keys: hash of their commitments.
        """
        if keys in self.keys.get(institution, ()):
            return None
        return (
            f"the trust file pins no such keys of {institution!r}: {keys}; ask the institution for the hash of its own "
            "(`institution status`), and pin that with `trust --keys NAME=HASH`"
        )

    def agreements_of(self, institution: str) -> frozenset[str]:
        """Return the hashes of the agreements that an institution's account may be under; empty for none."""
        return frozenset(agreement.hash() for agreement in (self.agreements or {}).get(institution, ()))

    def custody_of(self, institution: str) -> frozenset[str]:
        """Return the hashes of the custody policies that an institution's account may be under; empty for none."""
        return frozenset(policy.hash() for policy in (self.custody or {}).get(institution, ()))
