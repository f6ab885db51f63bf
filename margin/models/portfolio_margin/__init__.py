"""Portfolio-margin rows for both versions of `pmrm`: conservative without slack, exact with slack, and the split.

`model` is what prices make of a model, `listing` its columns; `conservative`, `exact` and `split` work on the two, and
`compiled` puts them together. Callers use the `compile_case` of a model and what is exported here.
"""

from atomic_margin.margin.kinds import Form
from atomic_margin.margin.models.portfolio_margin.compiled import (
    CompiledCase,
    IntegerExcess,
    exact_matrices,
    integer_excess,
    model_rows,
    run_matrices,
)
from atomic_margin.margin.models.portfolio_margin.listing import Listing
from atomic_margin.margin.models.portfolio_margin.model import KindCharges, RowModel

__all__ = [
    "CompiledCase",
    "Form",
    "IntegerExcess",
    "KindCharges",
    "Listing",
    "RowModel",
    "exact_matrices",
    "integer_excess",
    "model_rows",
    "run_matrices",
]
