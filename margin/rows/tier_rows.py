"""Tiers as integer rows, for collateral whose quantity is private: rounded down, with the finest scale they can hold.

Collateral on the operator's ledger is public, so its credited value goes straight into c (`margin.collateral`). Where
the quantity is one of the entries z, the value is the least of a few lines (`TierTable.lines`), and each line is a row:

    credit(z) / unit  >=  min over k of  (weights z)_k + offsets_k          rounded down, z >= 0

A margin row that counts *one* such asset becomes K rows. With several there are two ways, which cost only rounding:

- `combine_rows`: one row for every choice of a line from each asset; no slack, K_1 * K_2 * ... rows;
- `slack_rows`: a slack value t_j for each asset, at most each of its lines: K_1 + K_2 + ... rows, and the margin row
  counts the sum of t_j. A smaller t_j only lowers the surplus, so a dishonest one hurts its author alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from atomic_margin.margin.collateral.tiers import TierTable
from atomic_margin.margin.errors import ScaleTooFine, TooManyRows
from atomic_margin.margin.rows.matrix import MAX_ENTRY, MAX_ROWS, Integers


@dataclass(frozen=True)
class TierRows:
    """K rows over N entries whose least is a credited value, rounded down.

    Attributes:
        unit: USD of one unit of a row.
        weights: (K, N) int64, at least 0.
        offsets: (K,) int64, at least 0.
    """

    unit: Fraction
    weights: Integers
    offsets: Integers

    def credit(self, entries: Sequence[int]) -> int:
        """Return the least row at N entries of at least 0, in units."""
        return int((self.weights @ np.array(entries, dtype=np.int64) + self.offsets).min())


@dataclass(frozen=True)
class SlackRows:
    """Rows that keep J slack values at or below the credited values of J assets.

    Every row of ``weights @ z + slack_weights @ t + offsets`` must be at least 0; a margin row then counts sum(t).

    Attributes:
        weights: (R, N) int64 over the entries of all assets, one after the other.
        slack_weights: (R, J) int64, -1 where a row bounds that slack value.
        offsets: (R,) int64.
    """

    weights: Integers
    slack_weights: Integers
    offsets: Integers


def compile_rows(table: TierTable, entry_values: Sequence[Fraction], unit: Fraction) -> TierRows:
    """Compile one asset's tiers to rows over its entries.

    Args:
        table: the asset's tiers.
        entry_values: USD that one step of each of the N entries is worth before tiers, such as 32^d lots at the price.
        unit: USD of one unit.

    Raises:
        ScaleTooFine: a weight or an offset is above 2^42 units.
    """
    lines = table.lines
    weights = [[math.floor(line.percent * value / (100 * unit)) for value in entry_values] for line in lines]
    offsets = [math.floor(line.base / (100 * unit)) for line in lines]
    largest = max([*offsets, *(weight for row in weights for weight in row)])
    if largest > MAX_ENTRY:
        raise ScaleTooFine(
            f"an entry of {largest} units does not fit 2^42: use a unit of at least "
            f"{float(unit * Fraction(largest, MAX_ENTRY)):g} USD"
        )
    return TierRows(unit, np.array(weights, dtype=np.int64).reshape(len(lines), -1), np.array(offsets, dtype=np.int64))


def finest_scale(table: TierTable, largest_value: Fraction, bits: int = 42) -> int:
    """Return the largest s so that rows in units of 10^-s / 100 USD hold any value up to ``largest_value`` USD.

    In that unit, with values in multiples of 10^-s USD, weights are the percentages and offsets whole numbers: nothing
    is rounded. The bound is on every term of a row, percent * value and base, against 2^bits. A table that credits
    nothing has the scale 0.

    Raises:
        ScaleTooFine: not even whole USD fit.
    """
    widest = max(max(line.percent * largest_value, Fraction(line.base)) for line in table.lines)
    if widest > 1 << bits:
        raise ScaleTooFine(f"a row would reach {float(widest):g} hundredths of USD, which does not fit 2^{bits}")
    scale = 0
    while widest and widest * 10 ** (scale + 1) <= 1 << bits:
        scale += 1
    return scale


def combine_rows(assets: Sequence[TierRows]) -> TierRows:
    """Return rows over the entries of all assets whose least is the sum of the credited values; no slack.

    Raises:
        TooManyRows: more than 1024; use `slack_rows`.
    """
    unit = _common_unit(assets)
    count = math.prod(len(asset.offsets) for asset in assets)
    if count > MAX_ROWS:
        raise TooManyRows(f"{count} combinations of lines, at most {MAX_ROWS} rows fit a matrix: use slack values")
    choices = list(product(*(range(len(asset.offsets)) for asset in assets)))
    weights = [np.concatenate([a.weights[k] for a, k in zip(assets, choice, strict=True)]) for choice in choices]
    offsets = [sum(int(a.offsets[k]) for a, k in zip(assets, choice, strict=True)) for choice in choices]
    return TierRows(unit, np.array(weights, dtype=np.int64), np.array(offsets, dtype=np.int64))


def slack_rows(assets: Sequence[TierRows]) -> SlackRows:
    """Return the rows that bound one slack value an asset by each of its lines."""
    _common_unit(assets)
    rows, entries = [len(asset.offsets) for asset in assets], [asset.weights.shape[1] for asset in assets]
    weights = np.zeros((sum(rows), sum(entries)), dtype=np.int64)
    slack = np.zeros((sum(rows), len(assets)), dtype=np.int64)
    row = column = 0
    for index, asset in enumerate(assets):
        weights[row : row + rows[index], column : column + entries[index]] = asset.weights
        slack[row : row + rows[index], index] = -1
        row, column = row + rows[index], column + entries[index]
    return SlackRows(weights, slack, np.concatenate([asset.offsets for asset in assets]))


def best_slack(assets: Sequence[TierRows], entries: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the largest slack values the rows allow: each asset's credited value, in units."""
    return tuple(asset.credit(held) for asset, held in zip(assets, entries, strict=True))


def _common_unit(assets: Sequence[TierRows]) -> Fraction:
    if len({asset.unit for asset in assets}) != 1:
        raise ValueError("rows of one unit are wanted, of at least one asset")
    return assets[0].unit
