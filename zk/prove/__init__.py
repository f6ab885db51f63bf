"""The prover's side: modules that touch secret values. For the institution, `bench` and tests.

The operator, verifiers and what they stand on never import anything in here; import-linter holds that.
"""
