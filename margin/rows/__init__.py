"""From true weights to integers: matrices A and c, directed rounding, widths, slack values, and the top-up.

It stands on `market` and `collateral` and names no model; models and everyone who compiles or checks a run import it.
`rounding` and `slack_rounding` round against the account and check what others have rounded; `top_up` has the step.
"""
