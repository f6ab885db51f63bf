"""What the tables of the operator's database are made of; `store.tables` has the tables."""

from enum import Enum
from typing import Any

import sqlalchemy
from sqlalchemy import JSON, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from atomic_margin.service.protocol.states import AccountState, RunState, ShortfallState

JsonObject = dict[str, Any]


def _named(states: type[Enum]) -> sqlalchemy.Enum:
    # Rows hold the names of `protocol.states` as text, so that a new state is no change of the schema.
    return sqlalchemy.Enum(
        states, native_enum=False, length=32, values_callable=lambda kind: [str(one) for one in kind]
    )


class Base(DeclarativeBase):
    """Root of the tables."""

    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads it as a plain class attribute
        JsonObject: JSON(none_as_null=True),
        AccountState: _named(AccountState),
        RunState: _named(RunState),
        ShortfallState: _named(ShortfallState),
    }


class Claimable:
    """What rows have that one caller at a time works on; `store.claims` says what it means.

    Attributes:
        attempts: how often it was tried, what failed for no fault of its own not counted.
        claimed_by: a name that the claim alone has.
        lease_until: when the claim ends, unless it is renewed.
        interruptions: how often it was cut off for no fault of its own.
        worker_deaths: how many of these were deaths of its worker.
        retry_at: before then it is not tried again.
    """

    attempts: Mapped[int] = mapped_column(default=0)
    claimed_by: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[str | None] = mapped_column(String(20))
    interruptions: Mapped[int] = mapped_column(default=0, server_default="0")
    worker_deaths: Mapped[int] = mapped_column(default=0, server_default="0")
    retry_at: Mapped[str | None] = mapped_column(String(20))
