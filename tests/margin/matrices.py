"""Hashes of matrices of every model: of the example documents at four ticks, and of generated cases."""

import hashlib
import json
from pathlib import Path

from atomic_margin.margin import CollateralSchedule, Institution, Market, Universe
from atomic_margin.margin.kinds import KINDS
from atomic_margin.margin.market.entries import EntryMap
from atomic_margin.margin.models.case import CaseModel
from atomic_margin.margin.models.interface import AccountRows
from atomic_margin.margin.models.registry import models, parse_model
from atomic_margin.margin.models.universe import Published, UniverseModel
from atomic_margin.margin.rows.matrix import Place
from atomic_margin.margin.rows.rounding import compile_run
from atomic_margin.margin.rows.slack_rounding import compile_exact

BITS = 24

EXAMPLES = Path(__file__).parents[2] / "examples"


def example_hashes(cases: int = 3) -> dict[str, str]:
    """Return the hash of every matrix, by what it is of."""
    found: dict[str, str] = {}
    for rules in models().values():
        if issubclass(rules, UniverseModel):
            model, universe = parse_model(_example(rules.EXAMPLE)), Universe.parse(_example("universe.json"))
            schedule = CollateralSchedule.parse(_example("collateral-schedule.json"))
            posted = rules.parse_posted(_example(rules.EXAMPLE_POSTED))
            limit = Institution.parse(_example("institution.json")).gross_limit
            for tick in (1, 2, 3, 4):
                published = Published(universe, Market.parse(_example(f"market-{tick}.json")), schedule)
                for form in rules.FORMS:
                    columns = model.columns(published, limit, BITS)
                    rows = model.account_rows(published, posted, columns, limit, form)
                    found |= _hashes(f"{rules.NAME} {form} tick {tick}", rows, columns, limit)
        elif issubclass(rules, CaseModel):
            for number in range(cases):
                case = rules.sample(number, 0)
                limit = case.model.gross_limit(case.published, case.book)
                columns = case.model.columns(case.published, limit, BITS)
                for form in rules.FORMS:
                    rows = case.model.account_rows(case.published, case.posted, columns, limit, form)
                    found |= _hashes(f"{rules.NAME} {form} case {number}", rows, columns, limit)
    return found


def _hashes(name: str, rows: AccountRows, columns: EntryMap, limit: int) -> dict[str, str]:
    # Rounding hides most last bits, so the values before it count too.
    found = {
        f"{name} {kind} values": hashlib.sha256(
            rows.rows.weights.of(kind).tobytes() + rows.collateral.of(kind).tobytes()
        ).hexdigest()
        for kind in KINDS
    }
    if rows.rows.slack is not None:
        exact = compile_exact(rows.rows, rows.collateral, columns, limit)
        return found | {f"{name} {kind}": exact.of(kind).hash() for kind in KINDS}
    run = compile_run(rows.rows.slack_free(), rows.collateral, columns, limit, bits=BITS, weight_bits=BITS - 2)
    places: tuple[Place, Place] = ("fhe", "proof")
    return found | {f"{name} {kind} {place}": run.of(kind, place).hash() for kind in KINDS for place in places}


def _example(name: str) -> object:
    return json.loads((EXAMPLES / name).read_text())
