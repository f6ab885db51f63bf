"""The circuits over A z + c, a module each; importing the package defines them all (it needs the FHE library)."""

from atomic_margin.circuits.programs import approximate_breach, breach, exceedances, shortfall, surplus

__all__ = ["approximate_breach", "breach", "exceedances", "shortfall", "surplus"]
