"""An institution's account at the operator: admission, keys, submissions, deposits and its own instructions.

For `web` and `runs`; it books through `settlement` and keeps what it takes in `store`.
"""
