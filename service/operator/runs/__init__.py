"""The operator's runs: ticks, evaluation, signed records, answers, bundles, and the deadline that freezes.

For `web`, and for `settlement`, which publishes bundles. A run is scheduled by `ticks`, evaluated by `evaluation`,
signed by `records`, answered through `answers`; `background` has the threads that drive them.
"""
