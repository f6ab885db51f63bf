"""The steps from one form of the tables to the next, in the order of their names.

Alembic alone imports them. One that is released is never changed: databases have taken it.
"""
