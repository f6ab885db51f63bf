"""Terms of a collateral agreement, and what follows from them: when collateral is called, and when it comes back.

For whoever makes such a document, and for everyone who recomputes c. With R_k the requirement net of profit of one kind
of margin k and V the collateral after haircut, both USD, threshold T, independent amount IA, and a minimum transfer
amount MTA for each direction:

    CSA_k = max(0, R_k + IA - T)
    call     when CSA_m - V >= MTA, and V is short at all     amount  CSA_i - V, rounded up to the rounding
    covered  when V - R_m - IA + T + MTA > 0 in every row     (>= 0 where MTA is 0)
    return   when V - CSA_i >= MTA_return, and something is   amount  V - CSA_i, rounded down to the rounding

The threshold counts in the call too; the minimum transfer amount decides whether there is one and is never subtracted
from it. Returns round down, or calls would ping-pong with them. Money is whole cents.

All of it is public: `Agreed` is what enters c, by `shifted`. A threshold that nobody sees would cover anything.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, PlainValidator, model_validator

from atomic_margin.documents.errors import MalformedDocument, OutOfRange
from atomic_margin.documents.strict import (
    Document,
    Identifier,
    Label,
    ListOf,
    Part,
    in_range,
    integer_in,
    problem,
    require_unique,
)
from atomic_margin.margin.collateral.schedule import CollateralSchedule
from atomic_margin.margin.collateral.values import CollateralValues, float_below
from atomic_margin.margin.errors import IneligibleAsset, UnknownAsset
from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.market.pricing import Floats, read_only

MAX_ELIGIBLE = 256
MAX_COOL_DOWN = 2_880
"""Ticks: two days of one a minute."""
CENT = Decimal("0.01")
_NOTHING = Decimal(0)

Purpose: TypeAlias = Literal["run", "release"]
"""What rows are for: whether collateral is called, and how much (`run`, or a proof in place of one); or whether what
is left after some came back is enough (`release`)."""


def _whole_cents(value: Decimal) -> Decimal:
    if value % CENT:
        raise problem(OutOfRange, f"whole cents here, got {value}")
    return value


def _time_of_day(value: object) -> str:
    parts = value.split(":") if isinstance(value, str) and value.isascii() else []
    if [len(part) for part in parts] != [2, 2] or not all(part.isdigit() for part in parts):
        raise problem(MalformedDocument, 'write a time of day, UTC, such as "13:00"')
    if int(parts[0]) > 23 or int(parts[1]) > 59:
        raise problem(MalformedDocument, 'write a time of day, UTC, such as "13:00"')
    return str(value)


Cents: TypeAlias = Annotated[Decimal, in_range("0", "1000000000000"), AfterValidator(_whole_cents)]
TimeOfDay: TypeAlias = Annotated[str, PlainValidator(_time_of_day)]


class Agreed(Part):
    """The figures of an agreement that enter c and top-ups: public, and named by every run.

    Attributes:
        independent_amount: IA, USD, on top of every requirement.
        threshold: T, USD, that may stay without collateral.
        minimum_transfer_amount: MTA, USD: less than that is not called.
        rounding: USD; a call is a multiple of it, or of a coarser step that its account's gross limit gives.
    """

    independent_amount: Cents
    threshold: Cents
    minimum_transfer_amount: Cents
    rounding: Cents

    @property
    def without_credit(self) -> "Agreed":
        """The same with T and MTA 0: for an account that is frozen, owed or in default. IA and rounding stay."""
        return self.changed({"threshold": _NOTHING, "minimum_transfer_amount": _NOTHING})


class CollateralAgreement(Document):
    """Terms of a collateral agreement, of one account.

    >>> CollateralAgreement.parse({
    ...     "format": "atomic-margin/collateral-agreement/1", "name": "CSA of 2026", "threshold": "0",
    ...     "minimum_transfer_amount": "100000", "minimum_return_amount": "50000", "independent_amount": "0",
    ...     "rounding": "10000", "notification_time": "13:00", "settlement_time": "17:00", "settlement_days": "0"
    ... }).agreed.canonical()["minimum_transfer_amount"]
    '100000'

    Attributes:
        name: for people.
        threshold: T, USD.
        minimum_transfer_amount: of a delivery, USD.
        minimum_return_amount: of a return, USD.
        independent_amount: IA, USD.
        rounding: USD; calls are rounded up to it and returns down, apart from the minimum transfer amounts.
        notification_time: a call that is notified by then is due on the same day's settlement, UTC.
        settlement_time: until when a call is settled, UTC.
        settlement_days: so many days after the notification.
        eligible: assets of the schedule that may be posted; absent or empty, all of them.
        cool_down: so many ticks after a margin call nothing is released but for something in its place; absent, none.
    """

    TAG = "collateral-agreement"
    format: Literal["atomic-margin/collateral-agreement/1"]
    name: Label
    threshold: Cents
    minimum_transfer_amount: Cents
    minimum_return_amount: Cents
    independent_amount: Cents
    rounding: Cents
    notification_time: TimeOfDay
    settlement_time: TimeOfDay
    settlement_days: Annotated[int, integer_in(0, 10)]
    eligible: ListOf[Identifier] | None = None
    cool_down: Annotated[int, integer_in(1, MAX_COOL_DOWN)] | None = None

    @model_validator(mode="after")
    def _check(self) -> "CollateralAgreement":
        if self.eligible is not None:
            if len(self.eligible) > MAX_ELIGIBLE:
                raise MalformedDocument("eligible", f"at most {MAX_ELIGIBLE} assets")
            require_unique(self.eligible, "eligible[{}]".format)
        return self

    @property
    def agreed(self) -> Agreed:
        """The figures that enter c."""
        return Agreed.model_construct(**{name: getattr(self, name) for name in Agreed.model_fields})

    @property
    def assets(self) -> tuple[str, ...] | None:
        """The assets that may be posted, sorted; None for all."""
        return tuple(sorted(self.eligible)) if self.eligible else None

    def settles_by(self, notified: datetime) -> datetime:
        """Return until when a call is settled, by when it was notified, both UTC; days are of the calendar.

        >>> terms = CollateralAgreement.parse({
        ...     "format": "atomic-margin/collateral-agreement/1", "name": "CSA of 2026", "threshold": "0",
        ...     "minimum_transfer_amount": "0", "minimum_return_amount": "0", "independent_amount": "0",
        ...     "rounding": "0", "notification_time": "13:00", "settlement_time": "17:00", "settlement_days": "1"})
        >>> [str(terms.settles_by(datetime(2026, 11, 27, 13, minute))) for minute in (0, 1)]
        ['2026-11-28 17:00:00', '2026-11-29 17:00:00']
        """
        late = notified.time().replace(second=0, microsecond=0) > time.fromisoformat(self.notification_time)
        day = notified.date() + timedelta(days=self.settlement_days + late)
        return datetime.combine(day, time.fromisoformat(self.settlement_time), notified.tzinfo)

    def deliverable(self, schedule: CollateralSchedule, notified: datetime, held: Mapping[str, int]) -> dict[str, int]:
        """Return what of holdings may be delivered for a call: what is eligible, and has not ended when it is settled.

        Args:
            schedule: that has them.
            notified: when the call is, UTC.
            held: smallest units by asset.
        """
        by, may = self.settles_by(notified), self.assets
        return {
            name: quantity
            for name, quantity in held.items()
            if (may is None or name in may) and not schedule.by_id[name].has_matured(by)
        }

    def check_schedule(self, schedule: CollateralSchedule) -> None:
        """Make sure that every eligible asset is one of the schedule, and so is what it becomes.

        What has matured stays posted as cash, whoever else would be asked: so who takes a bill takes what it pays.

        Raises:
            UnknownAsset: the first that is not in the schedule.
            IneligibleAsset: the first that ends in an asset which is not eligible.
        """
        for index, name in enumerate(self.eligible or ()):
            if name not in schedule.by_id:
                raise UnknownAsset(f"eligible[{index}]", f"{name} is not in the collateral schedule; take it out")
            dated = schedule.dated.get(name)
            if dated is not None and dated.pays not in (self.eligible or ()):
                raise IneligibleAsset(
                    f"eligible[{index}]", f"{name} matures into {dated.pays}; add {dated.pays}, or take {name} out"
                )


def csa(requirement: Decimal, agreed: Agreed) -> Decimal:
    """Return what collateral an agreement wants for a requirement net of profit, USD: max(0, R + IA - T).

    >>> agreed = Agreed.parse({"independent_amount": "50000", "threshold": "200000",
    ...                        "minimum_transfer_amount": "100000", "rounding": "10000"})
    >>> [int(csa(Decimal(requirement), agreed)) for requirement in (1_000_000, 100_000)]
    [850000, 0]
    """
    return max(_NOTHING, requirement + agreed.independent_amount - agreed.threshold)


def is_called(wanted: Decimal, value: Decimal, agreed: Agreed) -> bool:
    """Return whether collateral is called: CSA_m - V is at least the minimum transfer amount, and more than nothing.

    Args:
        wanted: CSA of maintenance margin, USD.
        value: V, USD.
        agreed: of the account.

    >>> agreed = Agreed.parse({"independent_amount": "0", "threshold": "0", "minimum_transfer_amount": "100000",
    ...                        "rounding": "10000"})
    >>> [is_called(Decimal(1_000_000), Decimal(value), agreed) for value in (900_001, 900_000)]
    [False, True]
    """
    return wanted > value and wanted - value >= agreed.minimum_transfer_amount


def call_amount(wanted: Decimal, value: Decimal, rounding: Decimal) -> Decimal:
    """Return what is called: CSA_i - V, rounded up to the rounding. The minimum transfer amount is not subtracted.

    Args:
        wanted: CSA of initial margin, USD.
        value: V, USD.
        rounding: USD; 0 for cents.

    >>> call_amount(Decimal(1_300_000), Decimal(895_001), Decimal(10_000))
    Decimal('410000')
    """
    return _multiple(math.ceil(_steps(max(_NOTHING, wanted - value), rounding)), rounding)


def is_covered(rows: Sequence[Decimal], agreed: Agreed) -> bool:
    """Return whether no row is called: row - IA + T + MTA > 0 in each, with MTA = 0 at least 0.

    Args:
        rows: surpluses of maintenance margin V - R_m, USD.
        agreed: of the account.

    >>> agreed = Agreed.parse({"independent_amount": "0", "threshold": "0", "minimum_transfer_amount": "100000",
    ...                        "rounding": "10000"})
    >>> [is_covered([Decimal(5), Decimal(row)], agreed) for row in (-1, -99_999, -100_000)]
    [True, True, False]
    """
    credit = agreed.threshold - agreed.independent_amount + agreed.minimum_transfer_amount
    least = min(rows) + credit
    return least > 0 if agreed.minimum_transfer_amount else least >= 0


def return_amount(wanted: Decimal, value: Decimal, minimum: Decimal, rounding: Decimal) -> Decimal:
    """Return what comes back: V - CSA_i rounded down to the rounding, 0 where it is less than the minimum return.

    Args:
        wanted: CSA of initial margin, USD.
        value: V, USD.
        minimum: the minimum transfer amount of a return, USD.
        rounding: USD; 0 for cents.

    >>> [int(return_amount(Decimal(1_300_000), Decimal(value), Decimal(50_000), Decimal(10_000)))
    ...  for value in (1_349_999, 1_359_999)]
    [0, 50000]
    """
    excess = value - wanted
    if excess <= 0 or excess < minimum:
        return _NOTHING
    return _multiple(math.floor(_steps(excess, rounding)), rounding)


def _steps(amount: Decimal, rounding: Decimal) -> Fraction:
    return Fraction(amount) / Fraction(rounding or CENT)


def _multiple(count: int, rounding: Decimal) -> Decimal:
    return count * (rounding or CENT)


def shift(agreed: Agreed, kind: MarginKind, purpose: Purpose) -> Fraction:
    """Return what an agreement adds to every margin row of one kind, USD. The one place that says so.

    For a run, maintenance rows decide whether there is a call, so they get - IA + T + MTA, less one cent: a row that
    lacks MTA to the cent is called, and 0 counts as covered in a proof. Initial rows set the amount: - IA + T, whatever
    the minimum transfer amount. What stays after a release has to meet - IA + T in rows of both kinds.

    >>> agreed = Agreed.parse({"independent_amount": "50000", "threshold": "200000",
    ...                        "minimum_transfer_amount": "100000", "rounding": "10000"})
    >>> [float(shift(agreed, "maintenance", "run")), float(shift(agreed, "initial", "run")),
    ...  float(shift(agreed, "maintenance", "release"))]
    [249999.99, 150000.0, 150000.0]
    >>> float(shift(agreed.without_credit, "maintenance", "run"))
    -50000.0
    """
    added = Fraction(agreed.threshold) - Fraction(agreed.independent_amount)
    if purpose == "run" and kind == "maintenance" and agreed.minimum_transfer_amount:
        added += Fraction(agreed.minimum_transfer_amount) - Fraction(CENT)
    return added


def shifted(
    values: CollateralValues, agreed: Agreed | None, purpose: Purpose, counted: Sequence[bool] | None = None
) -> CollateralValues:
    """Return collateral values with what an agreement adds, rounded down: against the holder.

    Args:
        values: unrounded c, USD.
        agreed: of the account; None for no agreement, which adds nothing.
        purpose: of the rows.
        counted: which rows are margin; rows that bound slack stay as they are. None for all.
    """
    if agreed is None:
        return values
    return CollateralValues(*(_added(values.of(kind), shift(agreed, kind, purpose), counted) for kind in KINDS))


def _added(values: Floats, added: Fraction, counted: Sequence[bool] | None) -> Floats:
    if not added:
        return values
    flags = [True] * len(values) if counted is None else counted
    found = []
    for value, flag in zip(values.tolist(), flags, strict=True):
        found.append(float_below(Fraction(value) + added) if flag else value)
    return read_only(found)


def call_step(agreed: Agreed | None, minimum_transfer_amount: Decimal, gross_limit: int) -> Decimal:
    """Return what takes the place of the model's minimum transfer amount in the step of top-ups, USD.

    An agreement's rounding, at most the gross limit: a coarser step could not be proven in the rows of the account.
    Without an agreement the model's own amount, as ever.

    >>> agreed = Agreed.parse({"independent_amount": "0", "threshold": "0", "minimum_transfer_amount": "500",
    ...                        "rounding": "10000"})
    >>> [int(call_step(one, Decimal(100_000), 64_000_000)) for one in (None, agreed)]
    [100000, 10000]
    """
    return minimum_transfer_amount if agreed is None else min(agreed.rounding, Decimal(gross_limit))
