"""Check a bundle that somebody uploads to the pages, under what this operator itself holds of keys and terms.

That is less than a verifier's own trust file: it shows what a bundle says and whether it is whole, not that the
operator is honest. The page says so.
"""

import threading
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from atomic_margin.documents.errors import DocumentsError
from atomic_margin.service.errors import AttestationInvalid, Conflict, RequestError
from atomic_margin.service.http.outside_json import parse_body
from atomic_margin.service.operator.operator import Operator
from atomic_margin.service.operator.store.tables import Account, EnrolledKeys, EntryRow
from atomic_margin.service.protocol.account.kinds import EventKind
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.generators import generators_hash

MAX_BUNDLE_BYTES = 16 << 20
MOST_KEYS = 1000
"""Of an institution, the newest: one for every rotation."""
MOST_AGREEMENTS = 100

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
        held: steps that hold, in their order.
        failed: the step that does not, if one does not.
        reason: why.
        run: of the bundle, where all hold.
        institution: whose.
        outcome: `covered` or `breach`.
    """

    held: tuple[str, ...]
    failed: str | None = None
    reason: str | None = None
    run: str | None = None
    institution: str | None = None
    outcome: str | None = None


def check_bundle(operator: Operator, data: bytes) -> Checked:
    """Verify a bundle step by step; one at a time, since it takes a core for a second or more.

    Raises:
        Conflict: another one is being checked.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise Conflict("another bundle is being checked; send this one again in a moment", "bundle")
    held: list[str] = []
    try:
        value = parse_body(data, "bundle")
        report = verify_attestation(value, _trust(operator, _institution(value)), operator.group, held.append)
    except AttestationInvalid as invalid:
        return Checked(tuple(held), invalid.step, invalid.detail)
    except (RequestError, DocumentsError) as error:
        return Checked(tuple(held), "format", str(error))
    finally:
        _one_at_a_time.release()
    record = report.record
    return Checked(
        tuple(held),
        run=None if record is None else record.run_id,
        institution=None if record is None else record.institution,
        outcome="covered" if report.settlement is None else "breach",
    )


def _institution(value: Any) -> str:
    """Return whose bundle it says that it is; what it says is checked with everything else."""
    for part in ("body", "run", "body", "institution"):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _trust(operator: Operator, institution: str) -> TrustFile:
    """Return what this operator knows of itself and of one institution, as a trust file."""
    with operator.store.reading() as session:
        account = session.get(Account, institution)
        query = select(EnrolledKeys).where(EnrolledKeys.institution == institution, EnrolledKeys.confirmed)
        keys = session.scalars(query.order_by(EnrolledKeys.sequence.desc()).limit(MOST_KEYS)).all()
        told = select(EntryRow).where(
            EntryRow.institution == institution,
            EntryRow.kind.in_((str(EventKind.ADMITTED), str(EventKind.AGREEMENT_AMENDED))),
        )
        rows = session.scalars(told.order_by(EntryRow.number.desc()).limit(MOST_AGREEMENTS)).all()
        bodies = [row.document["body"] for row in rows if row.document is not None]
    agreements = [body["agreement"] for body in bodies if body.get("agreement") is not None]
    breakers, waterfall = operator.settings.breakers, operator.settings.waterfall
    return TrustFile.parse(
        {
            "format": "atomic-margin/trust/2",
            "operator": operator.identity.public_key,
            "prices": operator.settings.prices.canonical(),
            "institutions": {} if account is None else {institution: account.identity},
            "keys": {institution: [operator.key_pair(row).hash for row in keys]} if keys else {},
            **{name: operator.terms.hashes[name] for name in ("model", "schedule", "profile")},
            "universe": operator.terms.universes[0].hash(),
            "generators": generators_hash(),
            **({"agreements": {institution: agreements}} if agreements else {}),
            **({} if breakers is None else {"breakers": breakers.canonical()}),
            **({} if waterfall is None else {"waterfall": waterfall.hash()}),
        }
    )
