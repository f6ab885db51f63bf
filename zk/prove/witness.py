"""Secret values of the statements about entries. Prover only.

>>> PortfolioWitness(values=(3,), blindings=(7,))
PortfolioWitness()
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.prove.key import KeyOpening


@dataclass(frozen=True)
class EntryWitness:
    """The entries z_i and the blindings of their commitments. Nothing of it appears in its ``repr``."""

    values: tuple[int, ...] = field(repr=False)
    blindings: tuple[int, ...] = field(repr=False)

    def check_count(self, entries: int) -> None:
        """Check that there is one value and one blinding per entry.

        Raises:
            WitnessError: there is not.
        """
        if (len(self.values), len(self.blindings)) != (entries, entries):
            raise WitnessError(
                f"{entries} entries take as many values and blindings, got {len(self.values)} and {len(self.blindings)}"
            )


@dataclass(frozen=True)
class PortfolioWitness(EntryWitness):
    """Openings of a portfolio statement's commitments."""


@dataclass(frozen=True)
class BreachWitness(EntryWitness):
    """Openings of a breach statement's commitments."""


@dataclass(frozen=True)
class EncryptionWitness(EntryWitness):
    """Openings of an encryption statement's commitments, and the key. Errors and carries follow from them."""

    key: KeyOpening = field(repr=False)


@dataclass(frozen=True)
class SufficiencyWitness(EntryWitness):
    """Openings of a sufficiency statement's commitments, and the slack values u of exact rows."""

    slack: tuple[int, ...] = field(default=(), repr=False)


def binary(value: int, width: int) -> Sequence[int]:
    """Return ``value`` in ``width`` bits, lowest first."""
    return [value >> exponent & 1 for exponent in range(width)]
