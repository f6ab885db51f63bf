"""Print how far each form of the expected-shortfall model lies above the true requirement, on generated books.

    python examples/expected-shortfall/gap.py [BOOKS]

Model gap: true weights of the form against the reference, without collateral. Rounding gap: integer rows against true
weights of the same form, with the example's collateral and, for each book, the smallest power of two of USD that is at
least its gross as gross limit. Both in % of the requirement, expected shortfall plus charges. Covers are fitted to
books of another seed.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.vq import kmeans2

from atomic_margin.margin import (
    CollateralHoldings,
    CollateralSchedule,
    EntryMap,
    Market,
    TrueWeights,
    Universe,
    compile_run,
)
from atomic_margin.margin.models.expected_shortfall import (
    KINDS_OF_BOOK,
    ExpectedShortfallModel,
    compile_conservative,
    compile_exact_weights,
    conservative_collateral,
    exact_collateral,
    fit_cover,
    revalue_moves,
    sample_books,
    tail_average,
    tail_slack,
    vectors,
)
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import compile_exact

HERE = Path(__file__).parent


def read(path: str) -> Any:
    """Return a parsed JSON file of the examples."""
    return json.loads((HERE.parent / path).read_text())


UNIVERSE, MARKET = Universe.parse(read("universe.json")), Market.parse(read("market-1.json"))
MODEL = ExpectedShortfallModel.parse(read("expected-shortfall/model.json"))
SCHEDULE = CollateralSchedule.parse(read("collateral-schedule.json"))
POSTED = CollateralHoldings.parse(read("collateral.json")).posted
# In single lots of the universe, without cash: every account's columns begin with these.
ENTRIES = EntryMap.of(UNIVERSE, 1 << 29, 24)
VALUES = revalue_moves(MODEL.scenarios, MODEL.charges, UNIVERSE, MARKET)


def forms() -> Iterator[tuple[str, TrueWeights]]:
    """Yield every slack-free form measured."""
    yield "instruments", compile_conservative(MODEL, UNIVERSE, MARKET, form="instruments")
    gross = np.array([float(UNIVERSE.gross_weight(item)) for item in UNIVERSE.instruments])
    left, sizes, _ = np.linalg.svd(VALUES.gain / gross, full_matrices=False)
    for rows in (16, 24, 33):
        groups = kmeans2(left[:, :5] * sizes[:5], rows, seed=1, minit="++")[1]
        groups = np.unique(groups, return_inverse=True)[1]
        yield "groups", compile_conservative(MODEL, UNIVERSE, MARKET, form="groups", groups=groups.tolist())
    for factors, rows in ((2, 16), (3, 16), (3, 24), (4, 24), (4, 33), (5, 33), (4, 64), (5, 64)):
        fitted = fit_cover(MODEL, UNIVERSE, MARKET, factors=factors, rows=rows)
        yield f"cover, {factors} factors", compile_conservative(fitted, UNIVERSE, MARKET)
    yield "cover, example", compile_conservative(MODEL, UNIVERSE, MARKET)
    yield "scenarios", compile_conservative(MODEL, UNIVERSE, MARKET, form="scenarios")


def main(count: int) -> None:
    """Print both tables."""
    lots = sample_books(UNIVERSE, MARKET, count, seed=2)
    z = vectors(lots, ENTRIES, UNIVERSE)
    charges = np.maximum(lots, 0) @ VALUES.charge_long + np.maximum(-lots, 0) @ VALUES.charge_short
    requirement = tail_average(-VALUES.gain @ lots.T, float(MODEL.depth)) + charges
    true = lots @ VALUES.profit - requirement
    gross = z @ np.array(ENTRIES.gross_weights)
    print(f"{count} books, requirement {100 * (requirement / gross).mean():.2f} % of gross on average")
    head = " ".join(f"{kind:>13}" for kind in KINDS_OF_BOOK)
    print(f"{'model gap, % of requirement':<30} {'rows':>4} {'mean':>7} {'95 %':>7} {'worst':>8} {'gross':>6} {head}")
    for name, weights in forms():
        gap = true - (z @ weights.spread(ENTRIES).maintenance.T).min(axis=1)
        share = 100 * gap / requirement
        parts = " ".join(f"{share[kind :: len(KINDS_OF_BOOK)].mean():13.1f}" for kind in range(len(KINDS_OF_BOOK)))
        print(
            f"{name:<30} {len(weights.labels):>4} {share.mean():7.1f} {np.quantile(share, 0.95):7.1f} "
            f"{share.max():8.1f} {100 * (gap / gross).mean():6.2f} {parts}"
        )
    rounding(z, requirement, gross)


def rounding(z: Any, requirement: Any, gross: Any) -> None:
    """Print the gap of the integers."""
    weights, exact = compile_conservative(MODEL, UNIVERSE, MARKET), compile_exact_weights(MODEL, UNIVERSE, MARKET)
    collateral = conservative_collateral(MODEL, SCHEDULE, MARKET, POSTED)
    public = exact_collateral(MODEL, SCHEDULE, MARKET, POSTED)
    smallest = 4 * max(ENTRIES.gross_weights)
    limits = [max(1 << (int(value) - 1).bit_length(), smallest) for value in gross]
    plain = (z @ weights.spread(ENTRIES).maintenance.T + collateral.maintenance).min(axis=1)
    spread = exact.spread(ENTRIES).weights.maintenance
    losses = -(z @ spread[1:].T + public.maintenance[1:]) / MODEL.depth.denominator
    full = z @ spread[0] + public.maintenance[0] - tail_average(losses.T, float(MODEL.depth))
    print(f"{'rounding gap, % of requirement':<30} {'bits':>4} {'mean':>9} {'worst':>9}")
    need = requirement / 100
    for bits in (20, 24):
        runs = {
            limit: compile_run(weights.spread(columns), collateral, columns, limit, bits=bits, weight_bits=bits - 2)
            for limit, columns in columns_of(limits, bits).items()
        }
        for place, width in (("fhe", bits), ("proof", bits + 12)):
            matrices = [runs[limit].of("maintenance", place) for limit in limits]
            got = [float(m.surplus(vector).min() * m.unit) for m, vector in zip(matrices, z, strict=True)]
            show(f"cover, {place} matrix", width, (plain - got) / need)
    for bits in (32, 40):
        proofs = {
            limit: compile_exact(exact.spread(columns), public, columns, limit, bits=bits).maintenance
            for limit, columns in columns_of(limits, bits - 12).items()
        }
        got = []
        for limit, vector in zip(limits, z, strict=True):
            proof = proofs[limit]
            rows = exact_surplus(proof, vector, tail_slack(proof, vector))
            got.append(float(int(rows[0]) * proof.matrix.unit))
        show("exact matrix", bits, (full - got) / need)


def columns_of(limits: list[int], bits: int) -> dict[int, EntryMap]:
    """Return the columns of every gross limit; only their cash lots differ, and no book here has cash."""
    return {limit: EntryMap.of(UNIVERSE, limit, bits) for limit in set(limits)}


def show(name: str, bits: int, share: Any) -> None:
    """Print one line."""
    print(f"{name:<30} {bits:>4} {share.mean():9.5f} {share.max():9.5f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
