"""What is traded and what it is worth: instruments, universe, one tick of prices, Black-76, positions, entries.

The lowest room of `margin`: it imports `documents` and the errors alone, and every other room stands on it. `market`
is a tick, `portfolio` a book and its vector z, `entries` says which column of a matrix stands for which digit.
"""
