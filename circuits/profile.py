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
rows x bits such as 64x16x20: entries 16, 64, 256, 512, 1024 with rows 16, 24, 33 and bits 16, 20, 24; entries 64, \
256, 1024, 4096 with rows 64 and bits 20, 24; entries 4096 with rows 24, 33 and bits 20, 24
>>> smallest(entries=300, rows=37, bits=24).name
'1024x64x24'
"""

from dataclasses import asdict, dataclass
from functools import cache
from itertools import product

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.documents.canonical import canonical_hash

KNOWN_ANSWER_ROWS = 2

FUNCTIONS = ("surplus", "breach", "shortfall", "exceedances", "known_answer", "known_shortfall")
"""What a service may run: every output is without error, so its decryption tells nothing about noise."""

_MOST_COUNTED_ROWS = 33
"""With more, the count of `exceedances` would double the decomposition levels of every lookup of a profile."""

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
        limits = {"entries": (2, 4096), "rows": (2, 64), "bits": (8, 24), "entry_bits": (1, 5), "weight_bits": (4, 20)}
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

    def require(self, function: str) -> None:
        """Make sure that the profile has a function.

        Raises:
            ProfileError: it has not; the message says which have.
        """
        if function in self.functions:
            return
        having = [one for one in GRID.values() if function in one.functions and one.bits == self.bits]
        nearest = min(having, key=lambda one: (abs(one.entries - self.entries), -one.rows), default=None)
        where = "no published profile has it" if nearest is None else f"{nearest.name} has it, for example"
        raise ProfileError(
            f"profile {self.name!r} has no function {function!r}, only {', '.join(self.functions)}; {where}"
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

BLOCKS = (
    ((16, 64, 256, 512, 1024), (16, 24, 33), (16, 20, 24)),
    ((64, 256, 1024, 4096), (64,), (20, 24)),
    ((4096,), (24, 33), (20, 24)),
)
"""Entries, rows and bits of the grid: every combination within a block. Pinning one costs minutes, so it is no cube."""


def weight_bits_of(entries: int, bits: int) -> int:
    """Return the widest weights whose noise keeps a profile at polynomial size 2048 with one GLWE polynomial.

    Beyond, every bootstrap costs two thirds more (docs/benchmarks.md). Four times the entries take a bit.
    """
    narrower = (entries > 256) + (entries > 1024)
    return {16: 14, 20: 18 - narrower, 24: 14 - narrower}[bits]


def _grid() -> dict[str, Profile]:
    profiles = {}
    for block in BLOCKS:
        for entries, rows, bits in product(*block):
            name = f"{entries}x{rows}x{bits}"
            profiles[name] = Profile(
                name,
                entries,
                rows,
                bits,
                weight_bits=weight_bits_of(entries, bits),
                functions=tuple(one for one in FUNCTIONS if one != "exceedances" or rows <= _MOST_COUNTED_ROWS),
            )
    # Two of them have had names of their own from the start.
    profiles["16x16x16"], profiles["256x24x20"] = SMALL, STANDARD
    return profiles


GRID = _grid()
"""Profiles by ``entries x rows x bits``."""

DEFAULT = GRID["256x24x24"]
"""What is taken where nobody names one."""

PROFILES = {"tiny": TINY, "small": SMALL, "standard": STANDARD, **GRID}


def smallest(*, entries: int = 2, rows: int = 2, bits: int = 8) -> Profile | None:
    """Return the profile of the grid that holds so many entries and rows, of so many bits or more; None: none does.

    Of several, the one with the fewest bits, then rows, then entries: rows cost most to evaluate.
    """
    fitting = [item for item in GRID.values() if item.entries >= entries and item.rows >= rows and item.bits >= bits]
    return min(fitting, key=lambda item: (item.bits, item.rows, item.entries), default=None)


def that_would_do(*, entries: int = 2, rows: int = 2, bits: int = 8) -> str:
    """Say, for an error message, which published profile is large enough.

    >>> that_would_do(entries=200, rows=37, bits=24)
    'profile 256x64x24 is large enough'
    >>> that_would_do(entries=5000)
    'no published profile is large enough: they end at 4096 entries, 64 rows, 24 bits'
    """
    found = smallest(entries=entries, rows=rows, bits=bits)
    if found is not None:
        return f"profile {found.name} is large enough"
    most = (max(getattr(item, size) for item in GRID.values()) for size in ("entries", "rows", "bits"))
    return "no published profile is large enough: they end at {} entries, {} rows, {} bits".format(*most)


def published() -> str:
    """Say which profiles there are."""

    def listed(values: tuple[int, ...]) -> str:
        return ", ".join(map(str, values))

    blocks = "; ".join(
        f"entries {listed(entries)} with rows {listed(rows)} and bits {listed(bits)}" for entries, rows, bits in BLOCKS
    )
    return f"tiny, small, standard and entries x rows x bits such as 64x16x20: {blocks}"


def profile_by_name(name: str) -> Profile:
    """Return a published profile, by its name or by ``entries x rows x bits``.

    Raises:
        ProfileError: no profile has that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ProfileError(f"no profile named {name!r}; there are: {published()}") from None
