"""Runtime around concrete-python: the institution's keys (`institution`), the operator's worker (`evaluator`), raw words.

Only `institution` and `pin` touch secret keys; the operator's process imports neither.
"""
