"""Margin without cryptography: instruments, prices and a published model in, integer matrices A and c out.

An account's excess in scenario r is (A z)_r + c_r for the portfolio vector z of non-negative digits. Documents are
parsed JSON objects, strict and named by hash. No cryptography and no I/O in here; it imports `documents` alone, and
`service` and `bench` import it. Rooms, each standing on those before it: `market`, `collateral`, `rows`, `models`,
`analysis`. The usual path, on both sides of the service, here with the model `scan`:

    universe, schedule = Universe.parse(one), CollateralSchedule.parse(other)
    model, market = parse_model(published), Market.parse(prices)        # any registered model, see `models.interface`
    rows = model.rows(universe, market)                                 # once a tick: they depend on no account
    columns = EntryMap.of(universe, gross_limit, bits)                  # of an account
    collateral = model.collateral(schedule, market, posted)
    run = compile_run(rows.spread(columns).slack_free(), collateral, columns, gross_limit, bits=bits)
                                                                        # everybody; the same to the bit, named by hash

Errors are in `atomic_margin.margin.errors`, under `MarginError`; what strict parsing refuses is a
`documents.errors.DocumentError`, and an error of a margin document is both.
"""

from atomic_margin.documents.canonical import CanonicalValue, canonical_bytes, canonical_hash
from atomic_margin.documents.errors import DocumentError
from atomic_margin.margin.collateral import (
    Asset,
    AssetPriceSource,
    CollateralHoldings,
    CollateralSchedule,
    CollateralValues,
    ConcentrationTier,
    Eligibility,
    SpotMoves,
    check_accepted,
    check_holdings,
    check_schedule,
    check_substitution,
    check_transfer,
    collateral_values,
    select_return,
    select_transfer,
)
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.market.entries import RADIX_BITS, Column, EntryMap, check_entries
from atomic_margin.margin.market.instruments import Instrument, Side, Underlying, gross_weight
from atomic_margin.margin.market.market import ExpiryQuotes, Market, UnderlyingQuotes, check_market
from atomic_margin.margin.market.portfolio import Institution, Line, Portfolio, check_gross, encode
from atomic_margin.margin.market.pricing import black76
from atomic_margin.margin.market.universe import Universe
from atomic_margin.margin.models.interface import MarginModel, Reference
from atomic_margin.margin.models.lot_charges import LotCharges
from atomic_margin.margin.models.registry import model_named, models, parse_model
from atomic_margin.margin.models.scan.document import ScanModel, Scenario, check_model
from atomic_margin.margin.models.scan.reference import TrueSurplus, true_surplus
from atomic_margin.margin.models.scan.weights import compile_weights
from atomic_margin.margin.models.universe import LedgerModel, Published, UniverseModel
from atomic_margin.margin.rows.matrix import MarginMatrix, Place
from atomic_margin.margin.rows.rounding import (
    BITS,
    PROOF_SHIFT,
    WEIGHT_BITS,
    RunMatrices,
    check_bounds,
    check_gross_limit,
    choose_exponent,
    compile_run,
)
from atomic_margin.margin.rows.rows import Rows, Slack
from atomic_margin.margin.rows.top_up import TopUp, compute_top_up, finest_exponent, step_units
from atomic_margin.margin.rows.weights import TrueWeights, check_offsetting_pairs

__all__ = [
    "BITS",
    "PROOF_SHIFT",
    "RADIX_BITS",
    "WEIGHT_BITS",
    "Asset",
    "AssetPriceSource",
    "CanonicalValue",
    "CollateralHoldings",
    "CollateralSchedule",
    "CollateralValues",
    "Column",
    "ConcentrationTier",
    "DocumentError",
    "Eligibility",
    "EntryMap",
    "ExpiryQuotes",
    "Institution",
    "Instrument",
    "LedgerModel",
    "Line",
    "LotCharges",
    "MarginError",
    "MarginKind",
    "MarginMatrix",
    "MarginModel",
    "Market",
    "Place",
    "Portfolio",
    "Published",
    "Reference",
    "Rows",
    "RunMatrices",
    "ScanModel",
    "Scenario",
    "Side",
    "Slack",
    "SpotMoves",
    "TopUp",
    "TrueSurplus",
    "TrueWeights",
    "Underlying",
    "UnderlyingQuotes",
    "Universe",
    "UniverseModel",
    "black76",
    "canonical_bytes",
    "canonical_hash",
    "check_accepted",
    "check_bounds",
    "check_entries",
    "check_gross",
    "check_gross_limit",
    "check_holdings",
    "check_market",
    "check_model",
    "check_offsetting_pairs",
    "check_schedule",
    "check_substitution",
    "check_transfer",
    "choose_exponent",
    "collateral_values",
    "compile_run",
    "compile_weights",
    "compute_top_up",
    "encode",
    "finest_exponent",
    "gross_weight",
    "model_named",
    "models",
    "parse_model",
    "select_return",
    "select_transfer",
    "step_units",
    "true_surplus",
]
