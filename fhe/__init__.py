"""Runtime around concrete-python: institution-side keys (`institution`), operator's worker (`evaluator`), raw words.

Only `institution` and `pin` touch secret keys; the operator's process imports neither.
"""
