"""Margin verification that never sees a position.

The packages live at the top level of the repository and are linked in here, because `circuits` and `service` are taken
names on the package index: import them as `atomic_margin.margin`, `atomic_margin.circuits`, … docs/architecture.md
shows the rooms and who may enter which.
"""

__version__ = "0.1.0"
