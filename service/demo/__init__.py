"""The demo: operator, institution and witness as real processes on loopback, a story, a verifier, a monitor.

For the command line and tests. The parties run as processes of the command line; only their HTTP faces are used.
"""
