"""Many accounts through one crash: what calls, liquidations and losses a way of calling margin leads to.

The accounts are states of the account machine, the margin is the model's, and what a settlement moves is what the
operator's hook would move. Nothing is encrypted or proven here: no secret of anybody is at stake, since the books are
invented. For the command line, tests and researchers; it imports no party's room.
"""
