"""Runtime around concrete-python: institution-side keys (`institution`), the operator's worker, raw words, masks.

It imports `circuits` and `documents`, and knows neither finance nor proofs; `service` and `bench` import it. Only
`institution` and `pin` touch secret keys, and what the operator runs imports neither: it takes `evaluator`, which owns
the processes of `worker`.
"""
