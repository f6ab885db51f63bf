"""The margin models, a folder each, and what several of them share (`moves`, `lot_charges`, `portfolio_margin`).

A model turns prices into rows; it stands on `rows`, `collateral` and `market`, and no model imports another.
import-linter holds both.
"""
