"""The demo: operator and institution as real processes on loopback, four price ticks, and a separate verifier.

For the command line and tests. The parties run as processes of the command line; only their HTTP faces are used.
"""
