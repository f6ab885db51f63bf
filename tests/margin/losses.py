"""What each form of rows and each rounding loses of the initial margin requirement: a table, no test."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from atomic_margin.margin.models.portfolio_margin.compiled import CompiledCase, integer_excess, model_rows
from atomic_margin.margin.models.portfolio_margin.margin import CaseMargin

C = TypeVar("C")
NAMES = ["entries alone", "combinations", "exact", "FHE 20", "FHE 24", "proof 32", "exact 32"]


def losses(
    books: Iterable[C], margin: Callable[[C], CaseMargin], compiled: Callable[..., CompiledCase]
) -> Iterator[list[float]]:
    """Shares of the initial margin requirement, in percent, in the order of NAMES."""
    for case in books:
        true = margin(case)
        required = true.mark_to_market - true.initial_excess
        alone, combined, exact = (
            compiled(case, form=form, combinations=how)
            for form, how in (("conservative", False), ("conservative", True), ("exact", True))
        )
        # Shares of next to nothing say nothing: only books that require at least 1 % of their gross count.
        if required <= 0.01 * combined.gross:
            continue
        forms = [float(model_rows(item, "initial").min()) for item in (alone, combined, exact)]
        rounded = [
            float(integer_excess(item, bits, place).initial_excess)
            for item, bits, place in (
                (combined, 20, "fhe"),
                (combined, 24, "fhe"),
                (combined, 20, "proof"),
                (exact, 20, "proof"),
            )
        ]
        lost = [true.initial_excess - value for value in forms]
        lost += [forms[1] - rounded[0], forms[1] - rounded[1], forms[1] - rounded[2], forms[2] - rounded[3]]
        yield [100 * loss / required for loss in lost]


def print_losses(
    title: str, books: Iterable[C], margin: Callable[[C], CaseMargin], compiled: Callable[..., CompiledCase]
) -> None:
    """Print mean, median and worst of each."""
    table = np.array(list(losses(books, margin, compiled)))
    print(f"{title}: {len(table)} books")
    for name, column in zip(NAMES, table.T, strict=True):
        figures = {"mean": column.mean(), "median": np.median(column), "worst": column.max()}
        print(f"  {name:14}", *(f"{label} {abs(figure):9.5f} %" for label, figure in figures.items()))
