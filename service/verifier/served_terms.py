"""Terms as an operator serves them, for a reader who pins them by hash: nothing is fetched before it is asked for.

Model, schedule and profile are those of the trust file. A universe is one that the account was in, by entries that the
operator signed: it names the document by its hash. What is served is that, or nothing (`LogUnreadable`), which proves
nothing against anybody.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from atomic_margin.circuits.errors import CircuitError
from atomic_margin.circuits.profile import PROFILES, Profile
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.collateral import CollateralSchedule
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.registry import parse_model
from atomic_margin.margin.models.universe import UniverseModel
from atomic_margin.service.errors import RequestError, UnknownUniverse
from atomic_margin.service.http.outside_json import parse_json
from atomic_margin.service.protocol.messages import Revisions
from atomic_margin.service.protocol.revisions import check_lineage
from atomic_margin.service.protocol.terms import Terms, served
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.errors import LogUnreadable
from atomic_margin.service.verifier.served import MAX_DOCUMENT_BYTES, Served

JsonObject = dict[str, Any]
_T = TypeVar("_T", CollateralSchedule, UniverseModel[Any, Any], Universe)


class ServedTerms:
    """What one operator serves of its terms, held against a trust file."""

    def __init__(self, source: Served, trust: TrustFile) -> None:
        self._source, self._trust = source, trust
        self._terms: dict[str | None, Terms] = {}

    @property
    def profile(self) -> Profile | None:
        """The pinned profile; None if this version has none of that hash."""
        return next((profile for profile in PROFILES.values() if profile.hash() == self._trust.profile), None)

    @cached_property
    def schedule(self) -> CollateralSchedule:
        """The pinned schedule."""
        return self._read("v1/terms/schedule", "schedule", CollateralSchedule.parse, self._trust.schedule)

    @cached_property
    def model(self) -> UniverseModel[Any, Any]:
        """The pinned model."""
        return self._read("v1/terms/model", "model", lambda value: served(parse_model(value)), self._trust.model)

    def terms(self, universe: str | None) -> Terms:
        """Return the pinned terms with one universe, or with none.

        Raises:
            LogUnreadable: they are not served, or do not go together.
        """
        if universe not in self._terms:
            profile = self.profile
            if profile is None:
                raise TypeError("terms are asked for after they were held against the trust file")
            listed = [] if universe is None else [self._universe(universe)]
            try:
                self._terms[universe] = Terms(self.model, listed, self.schedule, profile)
            except (DocumentsError, CircuitError, MarginError) as error:
                raise LogUnreadable(f"the terms that are served do not go together: {error}") from error
        return self._terms[universe]

    def shown(self, universe: str | None) -> list[JsonObject]:
        """Return the same as documents, for a contradiction."""
        terms = self.terms(universe)
        parts = [("model", terms.model.canonical()), ("schedule", terms.schedule.canonical())]
        parts += [("universe", one.canonical()) for one in terms.universes]
        return [{"kind": kind, "document": document} for kind, document in parts]

    def leads_to(self, universes: Sequence[str]) -> bool:
        """Return whether the pinned universe is one of these, or signed revisions lead from it to one, or back."""
        pinned, operator = self._trust.universe, self._trust.operator
        if pinned in universes:
            return True
        path = "v1/universes"
        try:
            revisions = Revisions.parse(parse_json(self._source.fetch(path, MAX_DOCUMENT_BYTES))).revisions
            for one, other in ((pinned, universes[0]), (universes[-1], pinned)):
                try:
                    check_lineage(one, other, revisions, operator)
                except UnknownUniverse:
                    continue
                return True
        except (DocumentsError, RequestError) as error:
            raise LogUnreadable(f"{path} has no revisions of this operator: {error}") from error
        return False

    def _universe(self, hash_: str) -> Universe:
        return self._read(f"v1/universes/{hash_}", "universe", Universe.parse, hash_, "the account was in")

    def _read(
        self,
        path: str,
        what: str,
        parse: Callable[[object], _T],
        hash_: str,
        named: str = "the trust file pins",
    ) -> _T:
        try:
            found = parse(parse_json(self._source.fetch(path, MAX_DOCUMENT_BYTES)))
        except (DocumentsError, MarginError, RequestError) as error:
            raise LogUnreadable(f"the {what} that is served is none: {error}") from error
        if found.hash() != hash_:
            raise LogUnreadable(f"the {what} that is served is not the one that {named}")
        return found
