"""The circuits over A z + c, a module each; importing the package defines them all (it needs the FHE library).

For `circuits.compiling`, which imports it when a profile is compiled; everyone else takes a circuit by its name.
"""

from atomic_margin.circuits.programs import approximate_breach, breach, exceedances, shortfall, surplus

__all__ = ["approximate_breach", "breach", "exceedances", "shortfall", "surplus"]
