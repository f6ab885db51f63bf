"""What is proved, as public data: one module per statement. Anyone may call it.

Every statement checks its own limits when it is made, so one that exists is one the argument is sound for.
"""
