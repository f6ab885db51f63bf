"""What a verifier runs: the bundle of a run and its numbered checks, offline, from a trust file alone.

It stands on `feed` and `protocol`, and needs neither the FHE library nor a secret. The operator imports it to publish
bundles, the command line to check them.
"""
