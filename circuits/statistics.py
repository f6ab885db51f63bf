"""What the compiler says about a module: bootstraps by parameters, cost, key sizes, failure probability."""

from dataclasses import dataclass
from typing import Any

from atomic_margin.circuits.profile import Profile


@dataclass(frozen=True)
class Lookups:
    """How many table lookups a function makes with one set of bootstrap parameters."""

    polynomial_size: int
    glwe_dimension: int
    lwe_dimension: int
    levels: int
    count: int


@dataclass(frozen=True)
class FunctionStatistics:
    """Of one function: bootstraps in all, and by their parameters."""

    bootstraps: int
    lookups: tuple[Lookups, ...]


@dataclass(frozen=True)
class Statistics:
    """Of a module.

    Attributes:
        p_error: failure probability of one lookup.
        complexity: the compiler's estimate of the cost of all functions together, in its own unit.
        bootstrap_key_bytes: uncompressed, in memory.
        keyswitch_key_bytes: uncompressed, in memory.
        functions: by name.
    """

    p_error: float
    complexity: float
    bootstrap_key_bytes: int
    keyswitch_key_bytes: int
    functions: dict[str, FunctionStatistics]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Statistics":
        """Rebuild from ``dataclasses.asdict``."""
        functions = {
            name: FunctionStatistics(value["bootstraps"], tuple(Lookups(**lookups) for lookups in value["lookups"]))
            for name, value in data["functions"].items()
        }
        return cls(**{**data, "functions": functions})


def statistics_of(module: Any, profile: Profile) -> Statistics:
    """Read off the statistics of concrete's `FheModule`."""
    raw = module.statistics
    functions = {}
    for name in profile.functions:
        found = raw["functions"][name]
        functions[name] = FunctionStatistics(
            int(found.get("programmable_bootstrap_count", 0)),
            tuple(
                Lookups(key.polynomial_size(), key.glwe_dimension(), key.input_lwe_dimension(), key.level(), int(count))
                for key, count in found.get("programmable_bootstrap_count_per_parameter", {}).items()
            ),
        )
    return Statistics(
        float(raw["p_error"]),
        float(raw["complexity"]),
        int(raw["size_of_bootstrap_keys"]),
        int(raw["size_of_keyswitch_keys"]),
        functions,
    )
