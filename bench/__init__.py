"""Measurements: `gap` (what integers leave of the true excess), `fhe` (circuits), `zk` (proofs). No party needs them.

They stand on `margin`, `circuits`, `fhe` and `zk`, and take secret keys and witnesses of their own making; only
the command line and tests import them. docs/benchmarks.md, docs/gap.md and docs/proofs.md have the figures.
"""
