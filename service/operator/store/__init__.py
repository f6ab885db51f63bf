"""What the operator keeps: tables, units of work and readings, and large bytes as files named by their hash.

The lowest room of the operator: it imports no other. A unit of work is one transaction, and so is a reading.
"""
