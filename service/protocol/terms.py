"""The published terms of an operator (model, universe, schedule, profile) and what follows from them for one run.

Operator, agent and verifier hold the same terms, by hash, and compute the same things from them: which matrices a price
tick and posted collateral give. What proofs are about is in `protocol.statements`. No secret, no I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import Profile
from atomic_margin.documents.canonical import CanonicalValue
from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues, collateral_values
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.market import Market, check_market
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.scan.document import ScanModel
from atomic_margin.margin.models.scan.weights import compile_weights
from atomic_margin.margin.rows.matrix import MarginMatrix
from atomic_margin.margin.rows.rounding import RunMatrices, check_run, compile_run
from atomic_margin.margin.rows.weights import TrueWeights
from atomic_margin.service.protocol.documents import MatrixHashes
from atomic_margin.zk.generators import generators_hash


@dataclass(frozen=True)
class Terms:
    """What an operator publishes and everyone pins by hash.

    Raises:
        ProfileError: the model has more rows, or the universe more entries, than the profile.
    """

    model: ScanModel
    universe: Universe
    schedule: CollateralSchedule
    profile: Profile

    def __post_init__(self) -> None:
        rows, entries = len(self.model.scenarios), len(self.entry_map)
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

    def true_values(self, market: Market, posted: Mapping[str, int]) -> tuple[TrueWeights, CollateralValues]:
        """Return the unrounded weights and collateral values under `market`.

        Raises:
            MarginError: the market does not price the universe, or the documents do not fit together.
        """
        check_market(market, self.universe)
        return (
            compile_weights(self.model, self.universe, market),
            collateral_values(self.schedule, self.model, market, posted),
        )

    def compile(self, market: Market, posted: Mapping[str, int], gross_limit: int) -> RunMatrices:
        """Return the matrices of a run. The operator's direction of the computation."""
        weights, collateral = self.true_values(market, posted)
        return compile_run(
            weights,
            collateral,
            self.entry_map,
            gross_limit,
            bits=self.profile.bits,
            weight_bits=self.profile.weight_bits,
        )

    def check(self, matrices: RunMatrices, market: Market, posted: Mapping[str, int], gross_limit: int) -> None:
        """Check matrices against one's own true values. The agent's and the verifier's direction.

        Raises:
            MarginError: an entry above its true value or two units below it, an overflow, a wasteful unit.
        """
        weights, collateral = self.true_values(market, posted)
        check_run(
            matrices,
            weights,
            collateral,
            self.entry_map,
            gross_limit,
            bits=self.profile.bits,
            weight_bits=self.profile.weight_bits,
        )


MATRIX_NAMES = ("maintenance_fhe", "maintenance_proof", "initial_fhe", "initial_proof")


def matrix_hashes(matrices: RunMatrices) -> MatrixHashes:
    """Return the hashes by which a run record names its matrices."""
    return MatrixHashes(**{name: getattr(matrices, name).hash() for name in MATRIX_NAMES})


def matrices_to_json(matrices: RunMatrices) -> dict[str, CanonicalValue]:
    """Return the matrices in canonical form, by name."""
    return {name: getattr(matrices, name).to_canonical() for name in MATRIX_NAMES}


def matrices_from_json(value: Mapping[str, object]) -> RunMatrices:
    """Read what `matrices_to_json` wrote.

    Raises:
        DocumentError: naming the field.
    """
    return RunMatrices(**{name: MarginMatrix.from_canonical(value.get(name)) for name in MATRIX_NAMES})
