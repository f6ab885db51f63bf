"""The optional parts of this package: which are installed, and the sentence for a command that wants one that is not.

A command calls `needs_extras` before it imports what an extra brings, so that its `--help` works without.
"""

from importlib.util import find_spec

from atomic_margin.service.cli.output import fail

EXTRAS = {
    "fhe": ("concrete", "pkg_resources"),
    "service": ("fastapi", "httpx", "jinja2", "python_multipart", "sqlalchemy", "uvicorn"),
    "bench": ("matplotlib", "tenseal"),
    "reports": ("reportlab",),
    "cdm": ("finos",),
    "cluster": ("distributed",),
    "chain": ("web3",),
    "custodian": ("mpyc",),
}
"""Modules that tell whether an extra is installed, by its name in pyproject.toml."""


def missing_modules(extra: str) -> tuple[str, ...]:
    """Return the modules of an extra that are not there; none of them is imported."""
    return tuple(module for module in EXTRAS[extra] if find_spec(module) is None)


def needs_extras(command: str, *extras: str) -> None:
    """End with one sentence and status 2 unless the extras that `command` needs are installed."""
    missing = [extra for extra in extras if missing_modules(extra)]
    if missing:
        fail(
            f"atomic-margin {command} needs the extra{'s' * (len(missing) > 1)} {' and '.join(missing)}: "
            f"pip install 'atomic-margin[{','.join(extras)}]'"
        )
