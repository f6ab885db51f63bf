"""Committed bits under linear relations: the one argument behind every statement.

`statement`, `parameters`, `proof` and `verify` are for everyone; `witness` and `prove` are for the prover alone, and
nothing here imports them.
"""
