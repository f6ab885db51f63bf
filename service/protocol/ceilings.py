"""How large terms may be: what one proof holds, and how many instruments an account covers with a profile.

Who serves or measures asks before anything is made that could never be proven. Of the profiles that there may be today
all can be: it is the limits of profiles and of proofs that are held together here.

>>> from atomic_margin.circuits.profile import DEFAULT, profile_by_name
>>> require_provable(DEFAULT)
>>> instruments_of(DEFAULT), instruments_of(profile_by_name("4096x64x24"))
(63, 1023)
>>> proof_bits(profile_by_name("4096x64x24")) <= MAX_BITS
True
"""

from atomic_margin.circuits.profile import Profile
from atomic_margin.margin.market.entries import RADIX_BITS
from atomic_margin.margin.rows.rounding import PROOF_SHIFT
from atomic_margin.margin.rows.top_up import TOP_UP_BITS
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.zk.bits.parameters import MAX_BITS
from atomic_margin.zk.statements.checks import MAX_CELLS
from atomic_margin.zk.statements.encryption import NOISE_BITS
from atomic_margin.zk.statements.lwe import carry_bits

DIMENSION = 2048
"""Of the key that entries are encrypted under, in every published profile."""
CASH_COLUMNS = 4
"""That an account's cash takes, receivable and payable, of two digits each."""
DIGITS = 2
"""Radix-32 digits of an instrument: up to 1,023 lots of one long, and as many short."""


def proof_bits(profile: Profile) -> int:
    """Return the bits of the longest proof that a profile takes: an encryption of every entry, or all its rows."""
    each = RADIX_BITS + NOISE_BITS + 1 + carry_bits(DIMENSION)
    encryption = DIMENSION + profile.entries * each
    rows = profile.rows * (profile.bits + PROOF_SHIFT + TOP_UP_BITS)
    return max(encryption, rows)


def instruments_of(profile: Profile, digits: int = DIGITS) -> int:
    """Return how many instruments of so many digits an account covers at most, long and short, beside its cash."""
    return max(0, profile.entries - CASH_COLUMNS) // (2 * digits)


def require_provable(profile: Profile) -> None:
    """Make sure that every submission and answer under a profile can be proven.

    Raises:
        ConfigurationError: one proof would take more bits, or its matrix more cells, than there are.
    """
    bits, cells = proof_bits(profile), profile.rows * profile.entries
    if bits > MAX_BITS or cells > MAX_CELLS:
        raise ConfigurationError(
            f"profile {profile.name!r} cannot be proven: {profile.entries} entries and {profile.rows} rows of "
            f"{profile.bits} bits take {bits} bits and {cells} cells in one proof, which holds {MAX_BITS} and "
            f"{MAX_CELLS}; choose a smaller profile, with which an account covers fewer instruments"
        )
