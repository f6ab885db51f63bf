"""Profiles: the numbers that fix a circuit, its parameters and therefore its keys.

A profile is data with a hash. Institution and operator each compile it themselves; keys made for one profile are
refused for every other. Anyone may import this module; it needs no FHE library.

>>> STANDARD.entries, STANDARD.rows, STANDARD.bits
(256, 24, 20)
>>> profile_by_name("1024x33x20").weight_bits
17
>>> profile_by_name("unknown")
Traceback (most recent call last):
    ...
atomic_margin.circuits.errors.ProfileError: no profile named 'unknown'; there are: tiny, small, standard and entries x \
rows x bits such as 64x16x20, with entries 16, 64, 256, 512, 1024, rows 16, 24, 33, bits 16, 20, 24
"""

from dataclasses import asdict, dataclass
from functools import cache

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.documents.canonical import canonical_hash

KNOWN_ANSWER_ROWS = 2

FUNCTIONS = ("surplus", "breach", "shortfall", "exceedances", "known_answer", "known_shortfall")
"""What a service may run: every output is without error, so its decryption tells nothing about noise."""

REVISION = 2
"""Of the programs. Raised when one changes, so that keys and ciphertexts of another revision are refused."""


@dataclass(frozen=True)
class Profile:
    """What a compiled module computes over A z + c, and how surely.

    Attributes:
        name: for people; the hash covers it too.
        entries: N, length of z.
        rows: R, scenarios of one matrix.
        bits: two's-complement width of a row A z + c.
        entry_bits: width of one entry of z (unsigned radix digit).
        weight_bits: two's-complement width of one entry of A.
        log2_p_error: base-2 logarithm of the failure probability of one table lookup.
        security_bits: security level of the LWE parameters.
        library: the library and version whose compiler derives the parameters.
        functions: names of the circuits under the profile's one key set.
        revision: of the programs.
    """

    name: str
    entries: int
    rows: int
    bits: int
    entry_bits: int = 5
    weight_bits: int = 18
    log2_p_error: int = -128
    security_bits: int = 128
    library: str = "concrete-python 2.11.0"
    functions: tuple[str, ...] = FUNCTIONS
    revision: int = REVISION

    def __post_init__(self) -> None:
        limits = {"entries": (2, 1024), "rows": (2, 64), "bits": (8, 24), "entry_bits": (1, 5), "weight_bits": (4, 20)}
        for field, (low, high) in limits.items():
            if not low <= getattr(self, field) <= high:
                raise ProfileError(
                    f"profile {self.name!r}: {field} must lie in {low}..{high}, got {getattr(self, field)}"
                )
        if self.log2_p_error > -128 or self.security_bits < 128:
            raise ProfileError(
                f"profile {self.name!r}: decrypted flags leave the institution, so a lookup may fail with probability "
                "2^-128 at most and the security level is 128 bits at least"
            )

    def hash(self) -> str:
        """SHA-256 of the canonical form; names the profile in every signed document."""
        return _hash_of(self)


@cache
def _hash_of(profile: Profile) -> str:
    # A profile cannot change, and whoever reads a document asks again.
    fields: dict[str, str | list[str]] = {key: str(value) for key, value in asdict(profile).items()}
    fields["functions"] = list(profile.functions)
    return canonical_hash("profile", fields)


STANDARD = Profile("standard", entries=256, rows=24, bits=20)
SMALL = Profile("small", entries=16, rows=16, bits=16, weight_bits=14)
TINY = Profile("tiny", entries=16, rows=4, bits=16, weight_bits=14)
"""The least that shows everything: for tests and first steps, outside the grid."""

ENTRIES, ROWS, BITS = (16, 64, 256, 512, 1024), (16, 24, 33), (16, 20, 24)


def weight_bits_of(entries: int, bits: int) -> int:
    """Return the widest weights whose noise keeps a profile at polynomial size 2048 with one GLWE polynomial.

    Beyond, every bootstrap costs two thirds more (docs/benchmarks.md).
    """
    return {16: 14, 20: 18 if entries <= 256 else 17, 24: 14 if entries <= 256 else 13}[bits]


def _grid() -> dict[str, Profile]:
    profiles = {}
    for entries in ENTRIES:
        for rows in ROWS:
            for bits in BITS:
                name = f"{entries}x{rows}x{bits}"
                profiles[name] = Profile(name, entries, rows, bits, weight_bits=weight_bits_of(entries, bits))
    # Two of them have had names of their own from the start.
    profiles["16x16x16"], profiles["256x24x20"] = SMALL, STANDARD
    return profiles


GRID = _grid()
"""Profiles by ``entries x rows x bits``."""

PROFILES = {"tiny": TINY, "small": SMALL, "standard": STANDARD, **GRID}


def profile_by_name(name: str) -> Profile:
    """Return a published profile, by its name or by ``entries x rows x bits``.

    Raises:
        ProfileError: no profile has that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        entries, rows, bits = (", ".join(map(str, values)) for values in (ENTRIES, ROWS, BITS))
        raise ProfileError(
            f"no profile named {name!r}; there are: tiny, small, standard and entries x rows x bits such as 64x16x20, "
            f"with entries {entries}, rows {rows}, bits {bits}"
        ) from None
