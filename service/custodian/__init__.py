"""A custodian: holds shares of books, and opens the boxes that they come in.

It holds secrets: command line and tests import it, the operator and verifiers never.
"""
