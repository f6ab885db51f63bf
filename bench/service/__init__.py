"""Times what an account costs at the sizes of the profiles: keys, submission, tick, evaluation, answer, verification.

For the command line and tests. It plays both parties in one process, over the code that they run, without HTTP.
"""
