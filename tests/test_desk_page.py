"""Every case from the trade stands on the page of cases, with tests that are there and that name it."""

import re
from pathlib import Path

import pytest

from .outside import outside

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "desk-cases.md").read_text().splitlines()
    if line.startswith("| `")
]


def test_every_case_has_a_row() -> None:
    folders = sorted(path.name for path in outside("desk").iterdir() if path.is_dir())
    assert sorted(row[0].strip("`") for row in ROWS) == folders


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_tests_of_a_case_are_there(row: list[str]) -> None:
    case, _, of_case, own = row
    found = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", of_case + own)
    assert len(found) >= 2
    for file, name in found:
        source = (ROOT / file).read_text()
        assert f"def {name}" in source, f"{file} has no {name}"
    assert any(case.strip("`") in (ROOT / file).read_text() for file, _ in found)
