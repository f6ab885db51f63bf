"""Prices from several sources: signed apart, combined by median, recomputed by everyone who relies on them.

It stands on `protocol`, where the rules (`price_rules`) and the documents (`ticks`) are; sources, operator, agent and
verifier import it. `combine` is the computation, `tick` what is checked and stored, `source` and `chainlink` make
signed prices.
"""
