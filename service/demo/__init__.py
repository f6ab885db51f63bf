"""The demo: operator and institution as real processes on loopback, four price ticks, and a separate verifier."""
