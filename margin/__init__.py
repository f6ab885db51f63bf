"""Margin without cryptography: instruments, prices and a published model in, integer matrices A and c out.

An account's surplus in scenario r is (A z)_r + c_r for the portfolio vector z of non-negative digits. Documents are
parsed JSON objects, strict and named by hash; nothing here does I/O. The usual path, on both sides of the service:

    universe, model, schedule, market = (each).parse(...)
    entry_map = EntryMap.of(universe)
    weights = compile_weights(model, universe, market)
    collateral = collateral_values(schedule, model, market, posted)
    run = compile_run(weights, collateral, entry_map, gross_limit)      # the server
    check_run(run, weights, collateral, entry_map, gross_limit)         # agent and verifier, own weights and collateral

Errors are in `atomic_margin.margin.errors`, all under `MarginError`.
"""

from atomic_margin.margin.canonical import CanonicalValue, canonical_bytes, canonical_hash
from atomic_margin.margin.collateral import (
    Asset,
    CollateralHoldings,
    CollateralSchedule,
    CollateralValues,
    ConcentrationTier,
    Eligibility,
    PriceSource,
    check_accepted,
    check_holdings,
    check_schedule,
    check_transfer,
    collateral_values,
    select_transfer,
)
from atomic_margin.margin.entries import RADIX_BITS, Column, EntryMap, check_entries
from atomic_margin.margin.errors import DocumentError, MarginError
from atomic_margin.margin.instruments import Instrument, Side, Underlying, gross_weight
from atomic_margin.margin.market import ExpiryQuotes, Market, UnderlyingQuotes, check_market
from atomic_margin.margin.matrix import MarginMatrix, Place
from atomic_margin.margin.model import MarginKind, TrueWeights, check_offsetting_pairs, compile_weights
from atomic_margin.margin.portfolio import Institution, Portfolio, Position, check_gross, encode
from atomic_margin.margin.pricing import black76
from atomic_margin.margin.report import TrueSurplus, true_surplus
from atomic_margin.margin.scenarios import Charges, ScanModel, Scenario, check_model
from atomic_margin.margin.top_up import TopUp, compute_top_up, step_units
from atomic_margin.margin.units import (
    BITS,
    PROOF_SHIFT,
    WEIGHT_BITS,
    RunMatrices,
    check_bounds,
    check_gross_limit,
    check_matrix,
    check_run,
    choose_exponent,
    compile_run,
)
from atomic_margin.margin.universe import Universe

__all__ = [
    "BITS",
    "PROOF_SHIFT",
    "RADIX_BITS",
    "WEIGHT_BITS",
    "Asset",
    "CanonicalValue",
    "Charges",
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
    "MarginError",
    "MarginKind",
    "MarginMatrix",
    "Market",
    "Place",
    "Portfolio",
    "Position",
    "PriceSource",
    "RunMatrices",
    "ScanModel",
    "Scenario",
    "Side",
    "TopUp",
    "TrueSurplus",
    "TrueWeights",
    "Underlying",
    "UnderlyingQuotes",
    "Universe",
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
    "check_matrix",
    "check_model",
    "check_offsetting_pairs",
    "check_run",
    "check_schedule",
    "check_transfer",
    "choose_exponent",
    "collateral_values",
    "compile_run",
    "compile_weights",
    "compute_top_up",
    "encode",
    "gross_weight",
    "select_transfer",
    "step_units",
    "true_surplus",
]
