"""Deals, openings and what is verified of them, with real proofs."""
