"""The published terms of an operator (model, universes, schedule, profile) and what follows from them for one run.

Operator, agent and verifier hold the same terms, by hash, and compute the same things from them: which matrices a price
tick and posted collateral give. What proofs are about is in `protocol.statements`. No secret, no I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.circuits.profile import Profile, that_would_do
from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.margin.collateral import CollateralSchedule, CollateralValues
from atomic_margin.margin.collateral.agreement import Agreed, Purpose, call_step, shifted
from atomic_margin.margin.errors import MatrixMismatch
from atomic_margin.margin.kinds import Form, MarginKind
from atomic_margin.margin.market.columns import ColumnChoice
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.market.market import Market
from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.margin.market.revisions import check_revision
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.interface import Reference
from atomic_margin.margin.models.registry import AnyModel, parse_model
from atomic_margin.margin.models.universe import Published, UniverseModel
from atomic_margin.margin.rows.matrix import Integers
from atomic_margin.margin.rows.rounding import PROOF_SHIFT, RunMatrices, check_gross_limit, compile_run
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.slack_rounding import compile_exact
from atomic_margin.margin.rows.weights import TrueWeights
from atomic_margin.service.errors import ModelNotServed, UnknownUniverse
from atomic_margin.service.protocol.columned import AccountColumns as AccountColumns
from atomic_margin.service.protocol.columned import Columned as Columned
from atomic_margin.service.protocol.documents import MatrixHashes, RunRecord
from atomic_margin.service.protocol.proof_rows import ProofRows
from atomic_margin.zk.generators import generators_hash

_KEPT = 64
"""Columns that are kept, of so many gross limits and choices."""


def served(model: AnyModel) -> UniverseModel[Any, Any]:
    """Return a model that operator, agent and verifier can run.

    Raises:
        ModelNotServed: it is of no published universe, or it has no slack-free rows.
    """
    if not isinstance(model, UniverseModel):
        raise ModelNotServed(
            f"the model {model.name} cannot be served: it is of no published universe; publish another model"
        )
    if "conservative" not in model.FORMS:
        raise ModelNotServed(f"the model {model.name} cannot be served: it has no slack-free rows for the circuit")
    return model


@dataclass(frozen=True)
class Terms:
    """What an operator publishes and everyone pins by hash.

    Attributes:
        model: any registered margin model that can be served, see `served`.
        universes: the instruments, in every revision there was since accounts began: the newest one is the last.
        schedule: what counts as collateral.
        profile: of the circuits.

    Raises:
        ProfileError: the model has more rows than the profile.
    """

    model: UniverseModel[Any, Any]
    universes: list[Universe]
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
        parsed = served(parse_model(model)), [Universe.parse(universe)], CollateralSchedule.parse(schedule)
        return cls(*parsed, profile)

    def __post_init__(self) -> None:
        if len(self.model.labels) > self.profile.rows:
            wanted = that_would_do(entries=self.profile.entries, rows=len(self.model.labels), bits=self.profile.bits)
            raise ProfileError(
                f"the model's {len(self.model.labels)} rows do not fit profile {self.profile.name!r}, which has "
                f"{self.profile.rows}: {wanted}"
            )
        for universe in self.universes:
            self.model.check_universe(universe)

    @property
    def universe(self) -> Universe:
        """The newest universe."""
        return self.universes[-1]

    def universe_of(self, hash_: str) -> Universe:
        """Return a universe by its hash.

        Raises:
            UnknownUniverse: it is none of these terms.
        """
        found = self._by_hash.get(hash_)
        if found is None:
            raise UnknownUniverse(f"{hash_} is no universe of these terms, nor a revision of one", "universe")
        return found

    @cached_property
    def _by_hash(self) -> dict[str, Universe]:
        return {universe.hash(): universe for universe in self.universes}

    def check_revision(self, universe: Universe) -> None:
        """Make sure that a universe can follow the newest one.

        Raises:
            DocumentError: it cannot, by field.
        """
        check_revision(self.universe, universe)
        self.model.check_universe(universe)

    def take_revision(self, universe: Universe) -> None:
        """Add another revision of the universe, the newest; whoever holds these terms has it from now on.

        Raises:
            DocumentError: it cannot follow the one before, by field.
        """
        self.check_revision(universe)
        self._by_hash[universe.hash()] = universe
        self.universes.append(universe)

    def columns(self, account: Columned) -> EntryMap:
        """Return the columns of an account: what its commitments, ciphertexts and matrices count.

        Args:
            account: a submission, or whatever else says its gross limit and choice.

        Raises:
            UnknownUniverse: the universe is none of these terms.
            ProfileError: they are more than the profile has.
            DocumentError: the choice does not go with the universe, by field.
        """
        key = account.universe, account.gross_limit, account.columns
        found = self._columns.get(key)
        if found is None:
            universe = self.universe_of(account.universe)
            chosen = None if account.columns is None else account.columns.tiers_of(universe)
            found = EntryMap.of(universe, account.gross_limit, self.profile.bits, chosen, self.profile.weight_bits)
            if len(found) > self.profile.entries:
                wanted = that_would_do(entries=len(found), rows=self.profile.rows, bits=self.profile.bits)
                raise ProfileError(
                    f"the account's {len(found)} columns do not fit profile {self.profile.name!r}, which has "
                    f"{self.profile.entries}: choose fewer underlyings, expiries or tiers; {wanted}"
                )
            if max(found.widths) >= self.profile.bits:
                wanted = that_would_do(entries=self.profile.entries, rows=self.profile.rows, bits=max(found.widths) + 1)
                raise ProfileError(
                    f"an entry of {max(found.widths)} bits does not fit the {self.profile.bits}-bit rows of profile "
                    f"{self.profile.name!r}: choose narrower tiers; {wanted}"
                )
            if len(self._columns) >= _KEPT:
                self._columns.pop(next(iter(self._columns)))
            self._columns[key] = found
        return found

    def encode(self, book: Portfolio, account: Columned) -> Integers:
        """Return the vector of a book in an account's columns.

        Raises:
            DocumentError: the book does not fit them, by field.
        """
        return encode(book, self.universe_of(account.universe), self.columns(account))

    @cached_property
    def _columns(self) -> dict[tuple[str, int, ColumnChoice | None], EntryMap]:
        return {}

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Hash of each part but the universe, by the name that signed documents use: all accounts have these."""
        return {
            "model": self.model.hash(),
            "schedule": self.schedule.hash(),
            "profile": self.profile.hash(),
            "generators": generators_hash(),
        }

    def check_gross_limit(self, account: Columned) -> None:
        """Make sure a submission may have its gross limit: no book within it overflows, every top-up can be proven.

        Raises:
            GrossLimitTooSmall, GrossLimitTooLarge: it may not; the message says what would do.
            ProfileError, DocumentError: see `columns`.
        """
        columns, least = self.columns(account), self.model.minimum_transfer_amount
        check_gross_limit(account.gross_limit, columns, self.profile.bits, least)

    def published(self, market: Market, universe: str) -> Published:
        """Return what is public under `market`, in a universe by its hash."""
        return Published(self.universe_of(universe), market, self.schedule)

    def check_market(self, market: Market, universe: str) -> None:
        """Make sure `market` prices every instrument of a universe, by its hash, and all collateral that counts.

        Raises:
            DocumentError: naming the field.
        """
        self.model.check_market(self.published(market, universe))

    def rows(self, market: Market, universe: str) -> Rows:
        """Return the unrounded rows of a universe, by its hash, under `market`, in single lots.

        They depend on no account: once a tick is enough.

        Raises:
            MarginError: the market does not price the universe, or the documents do not fit together.
        """
        return self.model.rows(self.universe_of(universe), market)

    def collateral(self, market: Market, posted: Mapping[str, int]) -> CollateralValues:
        """Return what an account's posted collateral is worth in every row under `market`, unrounded.

        Raises:
            MarginError: the market does not price the collateral, or the schedule does not know it.
        """
        return self.model.collateral(self.schedule, market, self.model.on_ledger(posted))

    def reference(self, market: Market, record: RunRecord, book: Portfolio) -> Reference:
        """Return the plain margin of the book that a run is on, unrounded: for the institution alone."""
        posted = self.model.on_ledger(record.posted)
        return self.model.reference(self.published(market, record.universe), book, posted)

    def call_step(self, agreed: Agreed | None, account: Columned) -> Decimal:
        """Return what `step_units` takes for an account under an agreement, or under none, USD."""
        return call_step(agreed, self.model.minimum_transfer_amount, account.gross_limit)

    def matrices(
        self,
        rows: Rows,
        collateral: CollateralValues,
        account: Columned,
        agreed: Agreed | None = None,
        purpose: Purpose = "run",
    ) -> RunMatrices:
        """Return the matrices of a run from its true values.

        Args:
            rows: of the tick, in single lots.
            collateral: of the account.
            account: its submission.
            agreed: figures of the account's agreement, if it has one.
            purpose: of the rows.

        Raises:
            RowsWithSlack: the model's conservative rows hold slack, which no circuit takes.
            MarginError: no unit fits, or rows and collateral do not belong together.
            ProfileError: see `columns`.
        """
        weights = rows.spread(self.columns(account)).slack_free()
        return self.matrices_of_weights(weights, collateral, account, agreed, purpose)

    def matrices_of_weights(
        self,
        weights: TrueWeights,
        collateral: CollateralValues,
        account: Columned,
        agreed: Agreed | None = None,
        purpose: Purpose = "run",
    ) -> RunMatrices:
        """Return the same from slack-free rows in the account's columns, which do not depend on its collateral."""
        columns = self.columns(account)
        return compile_run(
            weights,
            shifted(collateral, agreed, purpose),
            columns,
            account.gross_limit,
            minimum_transfer_amount=self.call_step(agreed, account),
            bits=self.profile.bits,
            weight_bits=self.profile.weight_bits,
        )

    @property
    def has_exact(self) -> bool:
        """Whether the model has rows with slack, which lose nothing at its kinks."""
        return "exact" in self.model.FORMS

    def proof_rows(
        self,
        kind: MarginKind,
        form: Form,
        market: Market,
        posted: Mapping[str, int],
        account: Columned,
        agreed: Agreed | None = None,
        purpose: Purpose = "run",
    ) -> ProofRows:
        """Return the fine rows of one form that a sufficiency proof is about. Everyone compiles the same ones.

        Args:
            kind: of margin.
            form: with slack or without.
            market: prices.
            posted: collateral that counts, smallest units by asset.
            account: its submission.
            agreed: figures of the account's agreement, if it has one.
            purpose: of the rows.

        Raises:
            FormMissing: the model has no rows of this form.
            TooManyCuts, FormTooLarge: this form takes more rows than a matrix has, or more bits than a proof.
            MarginError: no unit fits, or the documents do not fit together.
            ProfileError: see `columns`.
        """
        self.model.require_form(form)
        if form == "conservative":
            return ProofRows.of(self.compile(market, posted, account, agreed, purpose).of(kind, "proof"))
        columns = self.columns(account)
        published = self.published(market, account.universe)
        given = self.model.account_rows(published, self.model.on_ledger(posted), columns, account.gross_limit, form)
        run = compile_exact(
            given.rows,
            # A row that bounds slack stays as it is: with credit there, slack could be smaller than the losses.
            shifted(given.collateral, agreed, purpose, (~given.rows.require_slack().validity).tolist()),
            columns,
            account.gross_limit,
            minimum_transfer_amount=self.call_step(agreed, account),
            bits=self.profile.bits + PROOF_SHIFT,
        )
        rows = ProofRows.of(run.of(kind))
        rows.require_provable(self.profile.bits + PROOF_SHIFT)
        return rows

    def compile(
        self,
        market: Market,
        posted: Mapping[str, int],
        account: Columned,
        agreed: Agreed | None = None,
        purpose: Purpose = "run",
    ) -> RunMatrices:
        """Return the matrices of a run. The operator's direction of the computation."""
        rows, collateral = self.rows(market, account.universe), self.collateral(market, posted)
        return self.matrices(rows, collateral, account, agreed, purpose)

    def matrices_of(self, record: RunRecord, market: Market) -> RunMatrices:
        """Compile the matrices of a run anew. The agent's, the verifier's and the auditor's direction.

        Args:
            record: of the run; its hashes name the matrices.
            market: prices of its tick.

        Raises:
            MatrixMismatch: the record names other columns or matrices than its prices, its collateral and these terms
                give.
            MarginError: the market does not price everything, or no unit fits.
        """
        if record.entry_map != self.columns(record).hash():
            raise MatrixMismatch(
                f"entry_map: the record of run {record.run_id!r} names other columns than its gross limit and choice "
                "give"
            )
        matrices = self.compile(market, record.posted, record, record.agreed)
        found, named = matrix_hashes(matrices), record.matrices
        others = [name for name in MATRIX_NAMES if getattr(found, name) != getattr(named, name)]
        if others:
            raise MatrixMismatch(
                f"{', '.join(others)}: the record of run {record.run_id!r} names another matrix than its prices, its "
                "collateral and these terms give"
            )
        return matrices


def terms_hash(terms: Terms) -> str:
    """Return the one hash that names all parts of the terms that stay as they are; an admission has it."""
    return _named(terms.hashes)


def named_terms(model: str, schedule: str, profile: Profile) -> str:
    """Return the same, by the hashes of model and schedule."""
    return _named({"model": model, "schedule": schedule, "profile": profile.hash(), "generators": generators_hash()})


def _named(hashes: Mapping[str, str]) -> str:
    return canonical_hash("terms", dict(sorted(hashes.items())))


MATRIX_NAMES = ("maintenance_fhe", "maintenance_proof", "initial_fhe", "initial_proof")


def matrix_hashes(matrices: RunMatrices) -> MatrixHashes:
    """Return the hashes by which a run record names its matrices."""
    return MatrixHashes(**{name: getattr(matrices, name).hash() for name in MATRIX_NAMES})
