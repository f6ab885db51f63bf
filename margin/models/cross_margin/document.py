"""The cross-margin model: venues with their instruments and pools, offset sets between venues, and joint scenarios.

Anyone may read it. Every instrument of the universe is traded on exactly one venue. Each venue has a pool of
collateral; what a venue does not need itself may leave it up to the pool's transfer limit, after the pool's transfer
haircut. The pool named ``central`` belongs to no venue and counts everywhere.

    model = CrossMarginModel.parse(json.loads(text))
    model.credits                                            # {"futures": Decimal("0.8"), "options": Decimal("0.8")}
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, model_validator

from atomic_margin.documents.errors import DuplicateId, MalformedDocument
from atomic_margin.documents.strict import (
    Document,
    Identifier,
    IdMap,
    ListOf,
    NonEmptyListOf,
    Part,
    Quantity,
    in_range,
    require_unique,
)
from atomic_margin.margin.collateral import SpotMoves
from atomic_margin.margin.errors import UnknownInstrument, UnknownVenue
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.lot_charges import LotCharges
from atomic_margin.margin.models.moves import JointMove

# The pool that belongs to no venue.
CENTRAL = "central"
MAX_VENUES = 8
MAX_SCENARIOS = 1024

Money = Annotated[Decimal, in_range("0", "1000000000000")]


class CrossScenario(JointMove):
    """A joint move with the fraction of it that counts.

    Attributes:
        source: where it is from; informative.
        coverage: fraction of the result that counts, above 0 and at most 1.
    """

    source: Literal["grid", "stress", "joint", "historical"]
    coverage: Annotated[Decimal, in_range("0", "1", above=True)]


class Venue(Part):
    """A venue and its pool.

    Attributes:
        id: identifier, not ``central``.
        instruments: identifiers of what is traded there.
        transfer_limit: USD that may leave the pool for other venues, before haircut; null for no limit.
        transfer_haircut: fraction of what leaves that does not count elsewhere, below 1.
    """

    id: Identifier
    instruments: NonEmptyListOf[Identifier]
    transfer_limit: Money | None = None
    transfer_haircut: Annotated[Decimal, in_range("0", "1", below=True)]


class OffsetSet(Part):
    """Venues whose gains count against each other's losses.

    Attributes:
        id: identifier.
        venues: at least two.
        credit: fraction of a gain that counts at the other venues of the set.
    """

    id: Identifier
    venues: NonEmptyListOf[Identifier]
    credit: Annotated[Decimal, in_range("0", "1")]


def _few_venues(venues: tuple[Venue, ...]) -> tuple[Venue, ...]:
    if len(venues) > MAX_VENUES:
        raise MalformedDocument("venues", f"at most {MAX_VENUES} here, got {len(venues)}")
    return venues


class CrossMarginModel(Document):
    """A margin model, format ``atomic-margin/model/1``, name ``cross_margin``.

    Attributes:
        initial_factor: initial margin counts what positions gain or lose in a scenario, and charges, this many times;
            the moves are those of maintenance margin. Collateral moves by this many times as much of spot.
        minimum_transfer_amount: USD; no margin call is smaller.
        charges: per lot, as fractions of spot.
        venues: 1 to 8.
        offsets: sets of venues; two venues that share none have no credit for each other's gains.
        scenarios: grid, stress, joint and historical scenarios alike, at most 1024.
        cuts: which rows without slack there are, see `rows`: ``expanded`` ones, or fewer ``spread`` ones, where a
            profile has not enough for all. Left out for all.
    """

    TAG: ClassVar[str] = "model"

    format: Literal["atomic-margin/model/1"]
    name: Literal["cross_margin"]
    initial_factor: Annotated[Decimal, in_range("1", "10")]
    minimum_transfer_amount: Money
    charges: LotCharges
    venues: Annotated[NonEmptyListOf[Venue], AfterValidator(_few_venues)]
    offsets: ListOf[OffsetSet]
    scenarios: NonEmptyListOf[CrossScenario]
    cuts: Literal["expanded", "spread"] | None = None

    @model_validator(mode="after")
    def _check(self) -> "CrossMarginModel":
        require_unique((item.id for item in self.venues), "venues[{}].id".format)
        require_unique((item.id for item in self.offsets), "offsets[{}].id".format)
        require_unique((item.label for item in self.scenarios), "scenarios[{}].label".format)
        if len(self.scenarios) > MAX_SCENARIOS:
            raise MalformedDocument("scenarios", f"at most {MAX_SCENARIOS} here, got {len(self.scenarios)}")
        listed = [
            (name, f"venues[{v}].instruments[{i}]")
            for v, venue in enumerate(self.venues)
            for i, name in enumerate(venue.instruments)
        ]
        require_unique((name for name, _ in listed), [path for _, path in listed].__getitem__)
        known = {item.id for item in self.venues}
        if CENTRAL in known:
            raise MalformedDocument("venues", f"{CENTRAL!r} is the pool of no venue; give the venue another id")
        for index, offset in enumerate(self.offsets):
            require_unique(offset.venues, f"offsets[{index}].venues[{{}}]".format)
            if len(offset.venues) < 2:
                raise MalformedDocument(f"offsets[{index}].venues", "at least two venues here")
            for place, name in enumerate(offset.venues):
                if name not in known:
                    raise UnknownVenue(f"offsets[{index}].venues[{place}]", f"no venue {name!r} in `venues`")
        self._check_pairs()
        return self

    def _check_pairs(self) -> None:
        seen: dict[frozenset[str], int] = {}
        for index, offset in enumerate(self.offsets):
            for a in offset.venues:
                for b in offset.venues:
                    pair = frozenset((a, b))
                    if a != b and seen.setdefault(pair, index) != index:
                        raise DuplicateId(
                            f"offsets[{index}].venues", f"{a} and {b} already share offsets[{seen[pair]}]"
                        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the scenarios, in order."""
        return tuple(item.label for item in self.scenarios)

    @property
    def spot_moves(self) -> SpotMoves:
        """What every pool goes by: the spot moves of the scenarios, with their coverage."""
        return SpotMoves.of(self.scenarios, self.initial_factor)

    @cached_property
    def credits(self) -> Mapping[str, Decimal]:
        """Credit each venue's gains have elsewhere: the least it has at any other venue; 1 for a single venue.

        Gains and collateral leave through one gate, whoever receives them, so a venue in sets of different credit, or
        with no set in common with some venue, gets the least. With two venues nothing is lost.
        """
        pairs = {
            frozenset((a, b)): offset.credit for offset in self.offsets for a in offset.venues for b in offset.venues
        }
        names = [venue.id for venue in self.venues]
        return {
            name: min(
                (pairs.get(frozenset((name, other)), Decimal(0)) for other in names if other != name),
                default=Decimal(1),
            )
            for name in names
        }


class PoolHoldings(Document):
    """An account's collateral by pool, format ``atomic-margin/pool-holdings/1``.

    Attributes:
        posted: by pool, the identifier of a venue or ``central``: integers of 10^-decimals by asset.
    """

    TAG: ClassVar[str] = "pool-holdings"

    format: Literal["atomic-margin/pool-holdings/1"]
    posted: IdMap[IdMap[Quantity]]


def check_venues(model: CrossMarginModel, universe: Universe) -> None:
    """Make sure the venues list the instruments of ``universe``, each once.

    Raises:
        UnknownInstrument: a venue lists an instrument the universe does not have.
        MalformedDocument: an instrument is on no venue.
    """
    placed = set()
    for v, venue in enumerate(model.venues):
        for i, name in enumerate(venue.instruments):
            if name not in universe.by_id:
                raise UnknownInstrument(f"venues[{v}].instruments[{i}]", f"the universe has no instrument {name!r}")
            placed.add(name)
    for name in universe.by_id:
        if name not in placed:
            raise MalformedDocument("venues", f"instrument {name!r} of the universe is on no venue; add it to one")


def check_pools(model: CrossMarginModel, posted: Mapping[str, Mapping[str, int]]) -> None:
    """Raise UnknownVenue unless every pool is a venue's or the central one."""
    known = {venue.id for venue in model.venues} | {CENTRAL}
    for name in posted:
        if name not in known:
            raise UnknownVenue(f"posted.{name}", f"no venue {name!r} in the model (there: {', '.join(sorted(known))})")
