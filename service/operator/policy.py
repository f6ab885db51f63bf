"""Whether every run is evaluated, or only those whose coverage was not proven first."""

from enum import Enum


class Policy(str, Enum):
    """What the operator does when a run's turn comes. It publishes its policy at `GET /v1/operator`."""

    ALWAYS = "always"
    """It evaluates the circuit."""
    UNLESS_PROVEN = "unless_proven"
    """It asks for the proof of coverage first, and evaluates in a second run if none comes in time."""
