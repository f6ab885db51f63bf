"""`atomic-margin margin --agreement`: what an agreement makes of a book."""

import re
from typing import Any

import pytest

from atomic_margin.margin.collateral import CollateralAgreement, CollateralSchedule

from .documents import EXAMPLES, full_example
from .test_cli_margin import SCAN, call, refused, said
from .test_cli_margin import write as write


def test_an_agreement_says_call_covered_or_return(write: Any) -> None:
    terms = {
        "format": "atomic-margin/collateral-agreement/1", "name": "CSA of 2026", "threshold": "0",
        "minimum_transfer_amount": "100000", "minimum_return_amount": "100000", "independent_amount": "0",
        "rounding": "10000", "notification_time": "13:00", "settlement_time": "17:00", "settlement_days": "0",
    }  # fmt: skip
    generous = said("--model", "scan", *SCAN[2:], "--agreement", write("csa.json", terms | {"threshold": "2000000"}))[
        "agreement"
    ]
    assert (generous["covered"], generous["call"]) == (True, 0)
    assert generous["return"] > 0
    assert generous["return"] % 10_000 == 0
    strict = write("strict.json", terms | {"independent_amount": "2000000"})
    called = said("--model", "scan", *SCAN[2:], "--agreement", strict)["agreement"]
    assert (called["covered"], called["return"]) == (False, 0)
    assert called["call"] % 10_000 == 0
    assert f"under CSA of 2026: called {called['call']:,.2f} USD" in call(*SCAN, "--agreement", strict).stdout
    assert "threshold: whole cents" in refused(*SCAN, "--agreement", write("no.json", terms | {"threshold": "0.001"}))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_example_agreement_says_what_the_page_for_institutions_tells(number: int) -> None:
    terms = CollateralAgreement.parse(full_example("collateral-agreement"))
    terms.check_schedule(CollateralSchedule.parse(full_example("collateral-schedule")))
    market, agreement = (EXAMPLES / name for name in (f"market-{number}.json", "collateral-agreement.json"))
    printed = call("--model", "scan", "--example", "--market", market, "--agreement", agreement).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("under ")]
    excess = [
        f"{text.replace(',', '')} {'over' if word == 'excess' else 'short'}"
        for word, text in re.findall(r"^(?:initial|maintenance): .*(excess|deficit) ([\d,]+)\.", printed, re.MULTILINE)
    ]
    page = (EXAMPLES.parent / "docs" / "institution.md").read_text()
    cells = [f"`market-{number}.json`", *(f"{int(one.split()[0]):,} {one.split()[1]}" for one in excess), f"`{line}`"]
    assert f"| {' | '.join(cells)} |" in page
