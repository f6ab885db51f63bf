"""The terms of a stored run: given by whoever audits, or found in a bundle of the same store. The hashes decide."""

from typing import Any

from atomic_margin.circuits.profile import PROFILES, Profile
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.registry import parse_model
from atomic_margin.margin.models.universe import UniverseModel
from atomic_margin.service.audit.errors import TermsMissing
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.terms import Terms, served

TermsDocuments = tuple[UniverseModel[Any, Any], Universe, CollateralSchedule]


def parse_documents(model: object, universe: object, schedule: object) -> TermsDocuments:
    """Return model, universe and schedule of three parsed JSON documents.

    Raises:
        DocumentError: the first wrong field, named by its JSON path.
        ModelNotServed: the model is none that can be served.
    """
    return served(parse_model(model)), Universe.parse(universe), CollateralSchedule.parse(schedule)


def terms_of(store: ReadOnlyStore, record: RunRecord, documents: TermsDocuments | None) -> Terms:
    """Return the terms made of `documents`, or of those in a stored bundle that have the record's hashes.

    Given documents are not compared with the record here.

    Raises:
        TermsMissing: no stored bundle has them, or the profile is unknown.
        ProfileError: the documents do not fit the profile.
    """
    model, universe, schedule = documents or _published(store, record)
    return Terms(model, [universe], schedule, profile_of(record))


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
        found = parse_documents(body["model"], body["universe"], body["schedule"])
        if tuple(part.hash() for part in found) == (record.model, record.universe, record.schedule):
            return found
    raise TermsMissing(
        "no stored bundle has the run's model, universe and schedule; give them with --model, --universe and "
        "--schedule, as `serve` had them"
    )
