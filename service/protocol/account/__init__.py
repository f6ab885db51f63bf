"""The account machine: what an account is, what may happen to it, and the entries that say what did. Pure; no secret.

The operator, the agent, the verifier and the monitor run the same code. `machine.apply` alone makes a state; whoever
stores one stores what it returned. Anybody may import this room.
"""
