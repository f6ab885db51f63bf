"""What the operator keeps: tables, one kind of transaction, and large bytes as files named by their hash.

The lowest room of the operator: it imports no other. A unit of work is one transaction.
"""
