"""A margin model of a few lines, which docs/adding-a-model.md prints: every lot loses a share of its notional."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

import numpy as np

from atomic_margin.documents.strict import Document, IdMap, in_range
from atomic_margin.margin import Market, Portfolio, SpotMoves, Universe
from atomic_margin.margin.errors import UnknownUnderlying
from atomic_margin.margin.kinds import KINDS, Form
from atomic_margin.margin.market.pricing import Floats
from atomic_margin.margin.models.interface import Reference
from atomic_margin.margin.models.moves import lots_of
from atomic_margin.margin.models.universe import LedgerModel, Published
from atomic_margin.margin.rows.rows import Rows
from atomic_margin.margin.rows.weights import lot_weights


class NotionalModel(Document):
    """`loss` by underlying: the share of its spot value that a lot, long or short, may lose, and collateral too."""

    TAG: ClassVar[str] = "model"

    format: Literal["atomic-margin/model/1"]
    name: Literal["notional"]
    loss: IdMap[Annotated[Decimal, in_range("0", "1", below=True)]]
    initial_factor: Annotated[Decimal, in_range("1", "10")]
    minimum_transfer_amount: Annotated[Decimal, in_range("0", "1000000000000")]


class NotionalRules(LedgerModel[NotionalModel]):
    NAME = "notional"
    DOCUMENT = NotionalModel

    @property
    def labels(self) -> tuple[str, ...]:
        return ("all lose",)

    @property
    def spot_moves(self) -> SpotMoves:
        falls = {name: -loss for name, loss in self.document.loss.items()}
        return SpotMoves.full(self.labels, (falls,), self.document.initial_factor)

    def lot_losses(self, universe: Universe, market: Market) -> Floats:
        for name in sorted(self.document.loss.keys() ^ universe.underlyings.keys()):
            raise UnknownUnderlying(f"loss.{name}", "the model names exactly the underlyings of the universe")
        of = {name: float(loss * market.underlyings[name].spot) for name, loss in self.document.loss.items()}
        return np.array([float(item.lot) * of[item.underlying] for item in universe.instruments])

    def rows(self, universe: Universe, market: Market, form: Form = "conservative") -> Rows:
        self.require_form(form)
        loss, factor = self.lot_losses(universe, market)[None], float(self.document.initial_factor)
        return Rows(lot_weights(universe, self.hash(), self.labels, (-loss, -loss), (-factor * loss, -factor * loss)))

    def reference(self, published: Published, book: Portfolio, posted: Mapping[str, int]) -> Reference:
        long, short = lots_of(book, published.universe)
        need = float(self.lot_losses(published.universe, published.market) @ (long + short))
        needs = {"maintenance": need, "initial": float(self.document.initial_factor) * need}
        worth = self.collateral(published.schedule, published.market, posted)
        now = self.collateral_now(published.schedule, published.market, posted)
        return Reference(
            model=self.name,
            excess={kind: float(worth.of(kind)[0]) - needs[kind] for kind in KINDS},
            requirement={kind: needs[kind] for kind in KINDS},
            worst=dict.fromkeys(KINDS, self.labels[0]),
            mark_to_market=now,
            details={"collateral": now},
        )
