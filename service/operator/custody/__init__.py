"""The operator's side of custodians: deals that it carries to them, and openings of books of silent institutions.

Only the operator's own packages may enter. It carries boxes that it cannot open, and stores nothing secret: what
counts is signed, or checked against a deal.
"""
