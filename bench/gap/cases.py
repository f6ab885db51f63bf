"""True and integer excess of `pmrm` and `pmrm2` cases, which bring their own market.

The requirement is mark to market less the excess, of either kind, as on the pages of the models; it holds the loss on
collateral too.

    measure_pmrm(case, parameters, bits=(20, 24)).gaps("initial")
"""

from collections.abc import Callable, Sequence

from atomic_margin.bench.gap.forms import AccountMargin, FormMargin, Reference, Rows, both
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.margin.errors import GrossLimitError, MarginError
from atomic_margin.margin.kinds import Form
from atomic_margin.margin.models.pmrm import PmrmCase, PmrmMargin, PmrmParameters, pmrm_margin
from atomic_margin.margin.models.pmrm import compile_case as compile_pmrm
from atomic_margin.margin.models.pmrm2 import Pmrm2Case, Pmrm2Margin, pmrm2_margin
from atomic_margin.margin.models.pmrm2 import compile_case as compile_pmrm2
from atomic_margin.margin.models.portfolio_margin.compiled import CompiledCase

PMRM_DETAILS = (
    "min_span",
    "forward_contingency",
    "base_contingency",
    "perp_contingency",
    "option_contingency",
    "oracle_contingency",
    "loss_factor",
)
PMRM2_DETAILS = (
    "min_span",
    "basis_contingency",
    "maintenance_contingency",
    "initial_contingency",
    "confidence_contingency",
    "maintenance_loss_factor",
    "initial_loss_factor",
)

_Integers = tuple[tuple[FormMargin, ...], int | None, int | None, str | None]


def measure_pmrm(
    case: PmrmCase, parameters: PmrmParameters, bits: Sequence[int] = (20,), gross_limit: int | None = None
) -> AccountMargin:
    """Return true and integer excess of a `pmrm` case.

    Args:
        case: account and market.
        parameters: the parameter set.
        bits: widths of FHE rows.
        gross_limit: G, whole USD; None for the default of `compile_case`.

    Raises:
        GrossLimitExceeded, GrossLimitTooSmall, GrossLimitTooLarge: the book or the width and ``gross_limit`` do not go
            together; only if one is given.
    """
    forms, gross, limit, problem = _integers(
        lambda form: compile_pmrm(case, parameters, form, gross_limit=gross_limit), bits, gross_limit
    )
    reference = _reference("pmrm", pmrm_margin(case, parameters), PMRM_DETAILS)
    return AccountMargin(reference, gross, limit, forms, problem)


def measure_pmrm2(case: Pmrm2Case, bits: Sequence[int] = (20,), gross_limit: int | None = None) -> AccountMargin:
    """Return true and integer excess of a `pmrm2` case; arguments and errors as for `measure_pmrm`."""
    forms, gross, limit, problem = _integers(
        lambda form: compile_pmrm2(case, form, gross_limit=gross_limit), bits, gross_limit
    )
    reference = _reference("pmrm2", pmrm2_margin(case), PMRM2_DETAILS)
    return AccountMargin(reference, gross, limit, forms, problem)


def _reference(model: str, true: PmrmMargin | Pmrm2Margin, details: tuple[str, ...]) -> Reference:
    mark, maintenance, initial = true.mark_to_market, true.maintenance_excess, true.initial_excess
    return Reference(
        model=model,
        margin={"maintenance": maintenance, "initial": initial},
        requirement={"maintenance": mark - maintenance, "initial": mark - initial},
        worst=both(true.worst),
        mark_to_market=mark,
        details={name: getattr(true, name) for name in details},
    )


def _integers(compile_form: Callable[[Form], CompiledCase], bits: Sequence[int], gross_limit: int | None) -> _Integers:
    """Return integer margins, gross and gross limit, or why there are none."""
    found: list[FormMargin] = []
    try:
        pair = compile_form("conservative"), compile_form("exact")
        for compiled in pair:
            rows = Rows(compiled.weights, compiled.collateral, compiled.entry_map)
            for width in bits:
                found.extend(rows.margins(compiled.z, compiled.gross_limit, width))
    except (DocumentsError, MarginError) as error:
        # A limit that somebody asked for and that does not hold is refused; else the true excess stands by itself.
        if isinstance(error, GrossLimitError) and gross_limit is not None:
            raise
        return (), None, None, f"{type(error).__name__}: {error}"
    return tuple(found), pair[0].gross, pair[0].gross_limit, None
