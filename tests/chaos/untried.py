"""Faults that cannot be played on this machine: their tests are skipped, and every run ends by saying so in red."""

from typing import NoReturn

import pytest

_untried: list[str] = []


def skip(what: str, why: str) -> NoReturn:
    """Skip the test."""
    _untried.append(f"{what.upper()} WAS NOT TRIED: {why}")
    pytest.skip(_untried[-1])


def summary() -> str | None:
    """Return what to say at the end of a run, None when there is nothing."""
    return "\n".join(dict.fromkeys(_untried)) or None
