"""The terms of a stored run: given by whoever audits, or found in a bundle of the same store. The hashes decide."""

from atomic_margin.circuits.profile import PROFILES, Profile
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.service.audit.errors import TermsMissing
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.terms import Terms

TermsDocuments = tuple[ScanModel, Universe, CollateralSchedule]


def terms_of(store: ReadOnlyStore, record: RunRecord, documents: TermsDocuments | None) -> Terms:
    """Return the terms made of `documents`, or of those in a stored bundle that have the record's hashes.

    Given documents are not compared with the record here.

    Raises:
        TermsMissing: no stored bundle has them, or the profile is unknown.
        ProfileError: the documents do not fit the profile.
    """
    return Terms(*(documents or _published(store, record)), profile_of(record))


def profile_of(record: RunRecord) -> Profile:
    """Return the profile that a record names.

    Raises:
        TermsMissing: this version does not know it.
    """
    for profile in PROFILES.values():
        if profile.hash() == record.profile:
            return profile
    raise TermsMissing(
        f"this version of atomic-margin has no profile {record.profile[:16]}…; audit with the version of the run"
    )


def _published(store: ReadOnlyStore, record: RunRecord) -> TermsDocuments:
    for body in store.published_terms(record.run_id):
        found = (
            ScanModel.parse(body["model"]),
            Universe.parse(body["universe"]),
            CollateralSchedule.parse(body["schedule"]),
        )
        if tuple(part.hash() for part in found) == (record.model, record.universe, record.schedule):
            return found
    raise TermsMissing(
        "no stored bundle has the run's model, universe and schedule; give them with --model, --universe and "
        "--schedule, as `serve` had them"
    )
