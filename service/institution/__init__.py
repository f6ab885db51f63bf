"""The institution's process: keys, submissions, answers. The only place where a position is in the clear.

It holds secrets: command line, demo and `audit.decrypt` import it, the operator never. It stands on `feed`, `protocol`
and `http`, and knows of the operator what that signs and sends.
"""
