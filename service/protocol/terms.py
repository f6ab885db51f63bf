"""The published terms of an operator (model, universe, schedule, profile) and what follows from them for one run.

Operator, agent and verifier hold the same terms, by hash, and compute the same things from them: which matrices a price
tick and posted collateral give. What proofs are about is in `protocol.statements`. No secret, no I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import Profile
from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues
from atomic_margin.margin.errors import MatrixMismatch
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.market import Market, check_market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.registry import AnyModel, parse_model
from atomic_margin.margin.models.universe import LedgerModel, Published
from atomic_margin.margin.rows.rounding import RunMatrices, check_gross_limit, compile_run
from atomic_margin.margin.rows.weights import TrueWeights
from atomic_margin.service.errors import ModelNotServed
from atomic_margin.service.protocol.documents import MatrixHashes, RunRecord
from atomic_margin.zk.generators import generators_hash


def served(model: AnyModel) -> LedgerModel[Any]:
    """Return a model that operator, agent and verifier can run.

    Raises:
        ModelNotServed: its rows rest on more than universe, market, schedule and one ledger account, or it has no
            slack-free rows.
    """
    if not isinstance(model, LedgerModel):
        raise ModelNotServed(
            f"the model {model.name} cannot be served: it asks more of an account than a portfolio of the universe and "
            "collateral posted in one pool; publish another model"
        )
    if "conservative" not in model.FORMS:
        raise ModelNotServed(f"the model {model.name} cannot be served: it has no slack-free rows for the circuit")
    return model


@dataclass(frozen=True)
class Terms:
    """What an operator publishes and everyone pins by hash.

    Attributes:
        model: any registered margin model that can be served, see `served`.
        universe: the instruments.
        schedule: what counts as collateral.
        profile: of the circuits.

    Raises:
        ProfileError: the model has more rows, or the universe more entries, than the profile.
    """

    model: LedgerModel[Any]
    universe: Universe
    schedule: CollateralSchedule
    profile: Profile

    @classmethod
    def parse(cls, model: object, universe: object, schedule: object, profile: Profile) -> "Terms":
        """Return the terms of three parsed JSON documents.

        Raises:
            DocumentError: the first wrong field, named by its JSON path, or the model's name is of no model.
            ModelNotServed: the model is none that can be served.
            ProfileError: the documents do not fit the profile.
        """
        parsed = served(parse_model(model)), Universe.parse(universe), CollateralSchedule.parse(schedule)
        return cls(*parsed, profile)

    def __post_init__(self) -> None:
        rows, entries = len(self.model.labels), len(self.entry_map)
        if rows > self.profile.rows or entries > self.profile.entries:
            raise ProfileError(
                f"the model's {rows} rows and the universe's {entries} entries do not fit profile "
                f"{self.profile.name!r} ({self.profile.rows} rows, {self.profile.entries} entries)"
            )

    @cached_property
    def entry_map(self) -> EntryMap:
        """Names the columns of every matrix."""
        return EntryMap.of(self.universe)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Hash of each part, by the name that signed documents use."""
        return {
            "model": self.model.hash(),
            "universe": self.universe.hash(),
            "entry_map": self.entry_map.hash(),
            "schedule": self.schedule.hash(),
            "profile": self.profile.hash(),
            "generators": generators_hash(),
        }

    def check_gross_limit(self, gross_limit: int) -> None:
        """Make sure a submission may have this gross limit: no book within it overflows, every top-up can be proven.

        Raises:
            GrossLimitTooSmall, GrossLimitTooLarge: it may not; the message says what would do.
        """
        check_gross_limit(gross_limit, self.entry_map, self.profile.bits, self.model.minimum_transfer_amount)

    def published(self, market: Market) -> Published:
        """Return what is public under `market`."""
        return Published(self.universe, market, self.schedule)

    def check_market(self, market: Market) -> None:
        """Make sure `market` prices every instrument and all collateral that counts.

        Raises:
            DocumentError: naming the field.
        """
        self.model.check_market(self.published(market))

    def weights(self, market: Market) -> TrueWeights:
        """Return the unrounded weights under `market`. They depend on no account: once a tick is enough.

        Raises:
            RowsWithSlack: the model's conservative rows hold slack, which no circuit takes.
            MarginError: the market does not price the universe, or the documents do not fit together.
        """
        check_market(market, self.universe)
        return self.model.rows(self.universe, market).slack_free()

    def collateral(self, market: Market, posted: Mapping[str, int]) -> CollateralValues:
        """Return what an account's posted collateral is worth in every row under `market`, unrounded.

        Raises:
            MarginError: the market does not price the collateral, or the schedule does not know it.
        """
        return self.model.collateral(self.schedule, market, posted)

    def matrices(self, weights: TrueWeights, collateral: CollateralValues, gross_limit: int) -> RunMatrices:
        """Return the matrices of a run from its true values.

        Raises:
            MarginError: no unit fits, or weights and collateral do not belong together.
        """
        return compile_run(
            weights,
            collateral,
            self.entry_map,
            gross_limit,
            minimum_transfer_amount=self.model.minimum_transfer_amount,
            bits=self.profile.bits,
            weight_bits=self.profile.weight_bits,
        )

    def compile(self, market: Market, posted: Mapping[str, int], gross_limit: int) -> RunMatrices:
        """Return the matrices of a run. The operator's direction of the computation."""
        return self.matrices(self.weights(market), self.collateral(market, posted), gross_limit)

    def matrices_of(self, record: RunRecord, market: Market) -> RunMatrices:
        """Compile the matrices of a run anew. The agent's, the verifier's and the auditor's direction.

        Args:
            record: of the run; its hashes name the matrices.
            market: prices of its tick.

        Raises:
            MatrixMismatch: the record names other matrices than its prices, its collateral and these terms give.
            MarginError: the market does not price everything, or no unit fits.
        """
        matrices = self.compile(market, record.posted, record.gross_limit)
        found, named = matrix_hashes(matrices), record.matrices
        others = [name for name in MATRIX_NAMES if getattr(found, name) != getattr(named, name)]
        if others:
            raise MatrixMismatch(
                f"{', '.join(others)}: the record of run {record.run_id!r} names another matrix than its prices, its "
                "collateral and these terms give"
            )
        return matrices


def terms_hash(terms: Terms) -> str:
    """Return the one hash that names all parts of the terms; an admission has it."""
    return canonical_hash("terms", dict(sorted(terms.hashes.items())))


MATRIX_NAMES = ("maintenance_fhe", "maintenance_proof", "initial_fhe", "initial_proof")


def matrix_hashes(matrices: RunMatrices) -> MatrixHashes:
    """Return the hashes by which a run record names its matrices."""
    return MatrixHashes(**{name: getattr(matrices, name).hash() for name in MATRIX_NAMES})
