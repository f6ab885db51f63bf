"""Print rows and gaps of each form of the cross-margin model, on generated books with a fifth of the example's pools.

    python examples/cross-margin/gap.py [BOOKS]

Model gap: M + Σ K_v of the reference less the least row of true weights, where a book is in deficit in either.
Rounding gap: least row of true weights less least integer row. The gross limit is the smallest power of two of USD that
is at least the book's gross. In % of the requirement: the largest scenario loss and charges over all venues.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from atomic_margin.margin import CollateralSchedule, EntryMap, Market, Universe, compile_run
from atomic_margin.margin.models.cross_margin import (
    CrossMarginModel,
    PoolHoldings,
    compile_cuts,
    compile_exact_cross,
    contributions,
    cut_collateral,
    exact_cross_collateral,
)
from atomic_margin.margin.models.cross_margin.values import lot_values, pool_values
from atomic_margin.margin.models.expected_shortfall import revalue_moves, sample_books, vectors
from atomic_margin.margin.rows.least_slack import least_slack
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import compile_exact

HERE = Path(__file__).parent


def read(path: str) -> Any:
    """Return a parsed JSON file of the examples."""
    return json.loads((HERE.parent / path).read_text())


UNIVERSE, MARKET = Universe.parse(read("universe.json")), Market.parse(read("market-1.json"))
MODEL = CrossMarginModel.parse(read("cross-margin/model.json"))
SCHEDULE = CollateralSchedule.parse(read("collateral-schedule.json"))
FULL = PoolHoldings.parse(read("cross-margin/pools.json")).posted
POSTED = {pool: {asset: quantity // 5 for asset, quantity in held.items()} for pool, held in FULL.items()}


# In single lots of the universe, without cash: every account's columns begin with these.
ENTRIES = EntryMap.of(UNIVERSE, 1 << 29, 24)


def main(count: int) -> None:
    """Print the table."""
    lots = sample_books(UNIVERSE, MARKET, count, seed=2)
    z = vectors(lots, ENTRIES, UNIVERSE)
    long, short = np.maximum(lots, 0), np.maximum(-lots, 0)
    values = lot_values(MODEL, UNIVERSE, MARKET, "maintenance")
    pools = pool_values(MODEL, SCHEDULE, MARKET, POSTED)["maintenance"]
    held = [
        long[:, values.venue == v] @ values.long[:, values.venue == v].T
        + short[:, values.venue == v] @ values.short[:, values.venue == v].T
        for v in range(len(MODEL.venues))
    ]
    profit = lots @ revalue_moves(MODEL.scenarios, MODEL.charges, UNIVERSE, MARKET).profit
    requirement = np.maximum(-(sum(held) - profit[:, None]).min(axis=1), 1.0)
    true = np.array(
        [
            (pools.central + contributions(MODEL, np.column_stack(book), pools.venues).sum(axis=1)).min()
            for book in zip(*held, strict=True)
        ]
    )
    print(f"{count} books, {(true < 0).sum()} in deficit")
    print(
        f"{'form':<12} {'rows':>5} {'bits':>4} {'model gap mean':>15} {'worst':>9} {'rounding mean':>14} {'worst':>9}"
    )
    gross = z @ np.array(ENTRIES.gross_weights)
    smallest = 4 * max(ENTRIES.gross_weights)
    limits = [max(1 << (int(value) - 1).bit_length(), smallest) for value in gross]
    for form in ("expanded", "spread"):
        weights, public = (
            compile_cuts(MODEL, UNIVERSE, MARKET, form=form),
            cut_collateral(MODEL, SCHEDULE, MARKET, POSTED, form=form),
        )
        least = (z @ weights.spread(ENTRIES).maintenance.T + public.maintenance).min(axis=1)
        short_of = (true < 0) | (least < 0)
        gap = np.where(short_of, np.minimum(true, 0) - np.minimum(least, 0), 0) / requirement * 100
        for bits in (20, 24):
            runs = {
                limit: compile_run(weights.spread(columns), public, columns, limit, bits=bits, weight_bits=bits - 2)
                for limit, columns in columns_of(limits, bits).items()
            }
            for place, width in (("fhe", bits), ("proof", bits + 12)):
                matrices = [runs[limit].of("maintenance", place) for limit in limits]
                got = [float(m.surplus(vector).min() * m.unit) for m, vector in zip(matrices, z, strict=True)]
                show(form, len(weights.labels), width, gap[short_of], (least - got) / requirement * 100)
    exact, public = (
        compile_exact_cross(MODEL, UNIVERSE, MARKET),
        exact_cross_collateral(MODEL, SCHEDULE, MARKET, POSTED),
    )
    proofs = {
        limit: compile_exact(exact.spread(columns), public, columns, limit).maintenance
        for limit, columns in columns_of(limits, 20).items()
    }
    got = []
    for limit, vector in zip(limits, z, strict=True):
        rows = exact_surplus(proofs[limit], vector, least_slack(proofs[limit], vector))
        got.append(float(int(rows[proofs[limit].margin_rows].min()) * proofs[limit].matrix.unit))
    show("slack", len(exact.weights.labels), 32, np.zeros(1), (true - got) / requirement * 100)


def columns_of(limits: list[int], bits: int) -> dict[int, EntryMap]:
    """Return the columns of every gross limit; only their cash lots differ, and no book here has cash."""
    return {limit: EntryMap.of(UNIVERSE, limit, bits) for limit in set(limits)}


def show(form: str, rows: int, bits: int, model: Any, rounding: Any) -> None:
    """Print one line."""
    print(
        f"{form:<12} {rows:>5} {bits:>4} {model.mean():15.3f} {model.max():9.3f} {rounding.mean():14.5f} "
        f"{rounding.max():9.5f}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
