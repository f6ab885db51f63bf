"""What stands for hashes and points in documents that nobody verifies, and how times and figures are written."""

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from atomic_margin.margin.collateral.agreement import Agreed
from atomic_margin.service.protocol.terms import MATRIX_NAMES


def named(*parts: object) -> str:
    """Return a hash that stands for something."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def tick(number: int) -> str:
    """Return the hash of a tick."""
    return named("tick", number) if number else "0" * 64


def point(*parts: object) -> str:
    """Return the spelling of a point that stands for something."""
    return (named(*parts) * 2)[:96]


def matrices(number: int, posted: Mapping[str, int]) -> dict[str, str]:
    """Return hashes that stand for the matrices of a tick and posted collateral."""
    return {name: named(name, number, sorted(posted.items())) for name in MATRIX_NAMES}


def priced_at(day: int, time: str = "12:00:00") -> str:
    """Return a time of prices, so many days after the first."""
    return f"{(date(2026, 11, 27) + timedelta(days=day)).isoformat()}T{time}Z"


def said(agreed: Agreed | None) -> dict[str, Any]:
    """Return what a document says of the figures of an agreement."""
    return {} if agreed is None else {"agreed": agreed.canonical()}
