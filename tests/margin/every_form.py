"""What integers say of a book in every form and place that a model has."""

from collections.abc import Iterator
from typing import Any

from atomic_margin.margin import EntryMap, Portfolio, Published, compile_run
from atomic_margin.margin.kinds import KINDS, Form, MarginKind
from atomic_margin.margin.models.interface import MarginModel
from atomic_margin.margin.rows.matrix import Place
from atomic_margin.margin.rows.slack_matrix import exact_surplus
from atomic_margin.margin.rows.slack_rounding import compile_exact

PLACES: tuple[Place, Place] = ("fhe", "proof")


def every_form(
    model: MarginModel[Any, Any, Any, Any],
    published: Published,
    posted: Any,
    book: Portfolio,
    columns: EntryMap,
    limit: int,
    bits: int = 24,
) -> Iterator[tuple[Form, MarginKind, Place, float]]:
    """Yield form, kind, place and excess in USD; of exact rows with the slack that leaves most."""
    z = model.encode(published, book, columns)
    for form in model.FORMS:
        given = model.account_rows(published, posted, columns, limit, form)
        if given.rows.slack is None:
            run = compile_run(
                given.rows.slack_free(), given.collateral, columns, limit, bits=bits, weight_bits=bits - 2
            )
            for kind in KINDS:
                for place in PLACES:
                    matrix = run.of(kind, place)
                    yield form, kind, place, float(matrix.usd(int(matrix.surplus(z).min())))
        else:
            exact = compile_exact(given.rows, given.collateral, columns, limit, bits=bits + 12)
            for kind in KINDS:
                proof = exact.of(kind)
                surplus = exact_surplus(proof, z, model.least_slack(proof, z))[proof.margin_rows]
                yield form, kind, "proof", float(proof.matrix.usd(int(surplus.min())))
