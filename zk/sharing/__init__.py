"""Pedersen's verifiable secret sharing of the openings of a book's commitments, among custodians.

Anyone may call `statement`, `messages`, `check`, `short`, `interpolation`, `resharing` and `rows`. `deal`,
`reconstruct`, `pass_on` and `open_row` touch secrets: they are for the institution and for custodians, and
import-linter keeps the operator and verifiers out.
"""
