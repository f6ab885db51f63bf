"""Portfolio-margin rows for both versions of `pmrm`: conservative without slack, exact with slack, and the split.

`model` is what prices make of a model, `listing` its columns; `conservative`, `exact` and `split` work on the two, and
`compiled` puts them together. Callers use the `compile_case` of a model and what is exported here.
"""

from atomic_margin.margin.rows.compiled import (
    CompiledCase,
    Form,
    IntegerMargin,
    integer_margin,
    integer_matrices,
    model_rows,
)
from atomic_margin.margin.rows.listing import Listing
from atomic_margin.margin.rows.model import Charges, RowModel

__all__ = [
    "Charges",
    "CompiledCase",
    "Form",
    "IntegerMargin",
    "Listing",
    "RowModel",
    "integer_margin",
    "integer_matrices",
    "model_rows",
]
