"""Measurement: gaps, circuits in real FHE, proofs. Imported by the command line only."""
