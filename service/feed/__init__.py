"""Prices from several sources: signed apart, combined by median, recomputed by everyone who relies on them.

Sources, operator, agent and verifier use it. `rules` says whose prices count and within which bounds, `combine` is the
computation, `documents` and `tick` are what is stored and checked, `source` and `chainlink` make signed prices.
"""
