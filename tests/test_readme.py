"""The README and every other document: the help they quote, the links they make, the targets they name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
_CODE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _CODE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_quotes_the_help_as_it_is() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "atomic_margin", "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    section = (ROOT / "README.md").read_text().split("\n## Command line\n")[1]
    quoted = re.search(r"```text\n(.*?)```", section, re.DOTALL)
    assert quoted is not None
    assert quoted[1].strip() == shown.stdout.strip()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", document.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor:
            assert anchor in _anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    # As code, in a block or inline, with or without a variable before the target.
    text = document.read_text()
    named = re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )?([a-z-]+)", text, re.MULTILINE)
    assert set(named) <= targets


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if path.parent.name != "examples"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_prose_is_at_most_120_characters_wide(document: Path) -> None:
    wide = [line for line in _CODE.sub("", document.read_text()).splitlines() if len(line) > 120]
    assert [line for line in wide if not line.startswith("|")] == []
