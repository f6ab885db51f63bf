"""Collateral moves in here and nowhere else: the double-entry ledger, and the hook that settles a verified breach.

For `accounts` (deposits, instructions) and `runs` (breaches). The hook takes a `VerifiedBreach` of
`service.protocol.verification` and nothing else.
"""
