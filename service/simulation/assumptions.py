"""What a simulated crash assumes. Every number is in the report; none is measured.

>>> Assumptions().crash_end
80
"""

from dataclasses import asdict, dataclass
from typing import Any

from atomic_margin.service.errors import ConfigurationError

MAX_ACCOUNTS = 2_000
MAX_TICKS = 2_000


@dataclass(frozen=True)
class Assumptions:
    """A crash, the accounts in it, and how deep the market is.

    Attributes:
        seed: of everything that is drawn.
        accounts: how many.
        ticks: length, a minute each.
        crash_at: tick at which prices begin to fall.
        crash_ticks: how long they fall.
        crash: by how much, a fraction, before anybody is forced to sell.
        recovery: how much of that comes back within as many ticks again, a fraction.
        noise: standard deviation of a minute's logarithmic return.
        volatility_rise: by how much implied volatility is higher at the bottom, a fraction.
        depth_usd: notional whose sale within one tick moves an underlying's price by one per cent.
        resilience: fraction of the price impact of sales that is gone after a tick.
        posted: posted collateral as a multiple of the initial requirement, the least and the most of any account.
        free: free collateral as a fraction of that requirement, likewise.
        outside: what an institution has elsewhere, as a fraction of that requirement, likewise.
        outside_ticks: how long it takes to arrive after a call.
        coin_share: fraction of collateral that is in coins, for the half of accounts that bring coins.
        close_out_ticks: over how many ticks the book of a defaulter is sold.
        settlement_lag: ticks from a call to its settlement where calls are not atomic.
        breaker_settlements: with breakers, breaches that settle within a window.
        breaker_share: top-ups of a window, as a fraction of what all have posted.
        breaker_window: its length in ticks.
        breaker_delay: ticks after which a breach settles whatever the limits are.
    """

    seed: int = 1
    accounts: int = 200
    ticks: int = 240
    crash_at: int = 60
    crash_ticks: int = 20
    crash: float = 0.35
    recovery: float = 0.5
    noise: float = 0.0006
    volatility_rise: float = 0.6
    depth_usd: float = 60e6
    resilience: float = 0.05
    posted: tuple[float, float] = (1.02, 1.6)
    free: tuple[float, float] = (0.0, 0.5)
    outside: tuple[float, float] = (0.0, 1.0)
    outside_ticks: int = 30
    coin_share: float = 0.6
    close_out_ticks: int = 10
    settlement_lag: int = 60
    breaker_settlements: int = 10
    breaker_share: float = 0.05
    breaker_window: int = 5
    breaker_delay: int = 30

    def __post_init__(self) -> None:
        for name, least, most in (
            ("accounts", 1, MAX_ACCOUNTS),
            ("ticks", 2, MAX_TICKS),
            ("crash_at", 1, MAX_TICKS),
            ("crash_ticks", 1, MAX_TICKS),
            ("close_out_ticks", 1, MAX_TICKS),
            ("settlement_lag", 0, MAX_TICKS),
            ("outside_ticks", 0, MAX_TICKS),
            ("breaker_settlements", 1, MAX_ACCOUNTS),
            ("breaker_window", 1, 1440),
            ("breaker_delay", self.breaker_window, 1440),
        ):
            if not least <= getattr(self, name) <= most:
                raise ConfigurationError(f"{name} is from {least} to {most}, got {getattr(self, name)}")
        for name, low, high in (
            ("crash", 0.0, 0.95),
            ("recovery", 0.0, 1.0),
            ("noise", 0.0, 0.05),
            ("volatility_rise", 0.0, 3.0),
            ("resilience", 0.0, 1.0),
            ("coin_share", 0.0, 1.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"{name} is from {low} to {high}, got {getattr(self, name)}")
        if not 0.001 <= self.breaker_share <= 1:
            raise ConfigurationError(f"breaker_share is from 0.001 to 1, got {self.breaker_share}")
        if self.depth_usd <= 0:
            raise ConfigurationError("depth_usd is above 0: a market without depth has no price")

    @property
    def crash_end(self) -> int:
        """Tick at which prices fall no more."""
        return self.crash_at + self.crash_ticks

    def as_json(self) -> dict[str, Any]:
        """Return every number, for the report."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
