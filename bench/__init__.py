"""Measurements: `gap` (what integers leave of the true excess), `fhe` (circuits), `zk` (proofs), `service` (accounts).

They stand on `margin`, `circuits`, `fhe` and `zk`, `service` on the service too, and take secret keys and witnesses of
their own making. No party needs them: only the command line and tests import them. docs/benchmarks.md, docs/gap.md and
docs/proofs.md have the figures.
"""
