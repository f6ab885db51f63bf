"""The generator of differential tests is library code."""

from atomic_margin.circuits.cases import Case, cases

__all__ = ["Case", "cases"]
