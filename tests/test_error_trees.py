"""The trees of errors are drawn in their modules as they are."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from atomic_margin.service.protocol.price_rules import PriceRules

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()

RULES = PriceRules.parse(
    {
        "format": "atomic-margin/price-rules/1",
        "sources": ["9a" * 32],
        "required": "1",
        "max_skew_seconds": "60",
        "max_age_seconds": "unbounded",
        "outlier": dict.fromkeys(("price", "volatility", "rate"), "0.1"),
        "move": dict.fromkeys(("price", "volatility", "rate"), "0.1"),
    }
)


PACKAGES = ("documents", "margin", "circuits", "contracts", "fhe", "zk", "service", "bench")
SOURCES = sorted(source for package in PACKAGES for source in (ROOT / package).rglob("*.py"))
ERRORS = sorted(source for source in SOURCES if source.name.endswith("errors.py"))


def _drawn(module: ModuleType) -> dict[str, tuple[str | None, str]]:
    """Errors of the tree in a module's docstring: the one above and the description, by name."""
    above: dict[int, str | None] = {}
    found: dict[str, tuple[str | None, str]] = {}
    lines = (module.__doc__ or "").splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        drawn = re.fullmatch(r"([│ ]*)[├└]── (\w+|\(.*\))(.*)", line)
        root = re.fullmatch(r"(\w+)(?: {2,}.*)?", line)
        if root is not None and below.startswith(("├──", "└──")):
            above = {0: root[1]}
            found[root[1]] = (None, "")
        elif drawn is not None:
            depth = len(drawn[1]) // 4
            # A line in brackets only groups those below it.
            name = above[depth] if drawn[2].startswith("(") else drawn[2]
            above[depth + 1] = name
            if not drawn[2].startswith("("):
                found[drawn[2]] = (above[depth], drawn[3])
    return found


@pytest.mark.parametrize("source", ERRORS, ids=lambda path: str(path.relative_to(ROOT)))
def test_trees_of_errors_are_drawn_as_they_are(source: Path) -> None:
    dotted = ".".join(source.relative_to(ROOT).with_suffix("").parts)
    module = importlib.import_module(f"atomic_margin.{dotted}")
    classes = {
        name: value
        for name, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Exception) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    drawn = _drawn(module)
    imported = {name for name in drawn if name not in classes}
    # At most the root, where it is another package's.
    assert imported <= {name for name, (parent, _) in drawn.items() if parent is None}
    assert set(drawn) - imported == set(classes)
    for name, (parent, description) in drawn.items():
        if parent is None:
            continue
        public = [base for base in classes[name].__mro__[1:] if not base.__name__.startswith("_")]
        also = re.search(r" {2,}an? (\w+)$", description)
        if also is not None:
            assert also[1] == public[0].__name__, name
        assert parent in {base.__name__ for base in classes[name].__bases__} | {public[0].__name__}, name
