"""The two kinds of margin, and the two forms of rows."""

from typing import Literal, TypeAlias

MarginKind = Literal["maintenance", "initial"]


KINDS: tuple[MarginKind, MarginKind] = ("maintenance", "initial")

Form = Literal["conservative", "exact"]
"""Conservative rows have no slack; exact rows have slack values wherever the model has kinks."""

Books: TypeAlias = Literal["mixed", "hedged"]
"""What is generated to be measured: books of all kinds, or those of market makers, delta and vega flat."""
