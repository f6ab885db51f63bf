"""Profiles: the numbers that fix a circuit, its parameters and therefore its keys.

A profile is data with a hash. Institution and operator each compile it themselves; keys made for one profile are
refused for every other. Anyone may import this module; it needs no FHE library.

>>> STANDARD.entries, STANDARD.rows, STANDARD.bits
(256, 24, 20)
>>> profile_by_name("unknown")
Traceback (most recent call last):
    ...
atomic_margin.circuits.errors.ProfileError: no profile named 'unknown'; there are: small, standard
"""

from dataclasses import asdict, dataclass

from atomic_margin.circuits.errors import ProfileError
from atomic_margin.margin.canonical import canonical_hash

KNOWN_ANSWER_ROWS = 2


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

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions under the profile's one key set."""
        return ("surplus", "breach", "known_answer")

    def hash(self) -> str:
        """SHA-256 of the canonical form; names the profile in every signed document."""
        fields: dict[str, str | list[str]] = {key: str(value) for key, value in asdict(self).items()}
        fields["functions"] = list(self.functions)
        return canonical_hash("profile", fields)


STANDARD = Profile("standard", entries=256, rows=24, bits=20)
SMALL = Profile("small", entries=16, rows=16, bits=16, weight_bits=14)

PROFILES = {profile.name: profile for profile in (SMALL, STANDARD)}


def profile_by_name(name: str) -> Profile:
    """Return a published profile.

    Raises:
        ProfileError: no profile has that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ProfileError(f"no profile named {name!r}; there are: {', '.join(sorted(PROFILES))}") from None
