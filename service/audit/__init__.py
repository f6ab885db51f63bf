"""The audit of a stored run: what it rests on is checked, then it is evaluated again under the same FFT plan.

For the command line. It stands on `operator`, whose data directory `stored` reads without writing to it. `evidence`
checks record, chain, tick, submission and matrices, `search` starts fresh workers until one has the recorded plan and
compares output hashes, `report` says what came of it. `decrypt` alone is for the institution: it holds the secret keys.
"""

DEFAULT_STARTS = 60
"""Fresh workers that an audit starts at most, unless told otherwise."""
