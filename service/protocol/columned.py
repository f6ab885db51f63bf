"""What says which columns an account has: a submission, a record, or the choice before there is either."""

from dataclasses import dataclass
from typing import Protocol

from atomic_margin.margin.market.columns import ColumnChoice


class Columned(Protocol):
    """What says which columns an account has."""

    @property
    def universe(self) -> str:
        """Hash of the universe."""

    @property
    def gross_limit(self) -> int:
        """G, whole USD."""

    @property
    def columns(self) -> ColumnChoice | None:
        """What its commitments cover; None for the whole universe."""


@dataclass(frozen=True)
class AccountColumns:
    """Universe, gross limit and choice, before there is a submission that says so."""

    universe: str
    gross_limit: int
    columns: ColumnChoice | None = None
