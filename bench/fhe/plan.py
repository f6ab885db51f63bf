"""What a run of `atomic-margin bench fhe` measures: modules, from profiles, circuits and directions of scaling."""

from dataclasses import replace
from pathlib import Path

from atomic_margin.bench.fhe.run import Module, module_of
from atomic_margin.bench.fhe.sources import load_circuits
from atomic_margin.circuits.circuit import Circuit, circuit_by_name
from atomic_margin.circuits.profile import GRID, Profile, profile_by_name

DEFAULT_PROFILE = "64x16x20"
ALL = "all"
RESEARCH = ("approximate_breach",)
BASELINES = ("straightforward_breach", "naive_breach")
SCALED = ("surplus", "breach", "shortfall")
DIRECTIONS = ("entries", "rows", "bits")


def profiles_named(names: list[str]) -> list[Profile]:
    """Return published profiles; none named gives the default one, `all` every one of the grid.

    Raises:
        ProfileError: no profile has that name.
    """
    if ALL in names:
        return list(GRID.values())
    return list(dict.fromkeys(profile_by_name(name) for name in names or [DEFAULT_PROFILE]))


def scaled(profile: Profile, direction: str) -> list[Profile]:
    """Return those of the grid that differ from `profile` in entries, rows or bits alone, in all three for `all`."""
    profiles: list[Profile] = []
    for name in DIRECTIONS:
        if direction in (name, ALL):
            same = [size for size in DIRECTIONS if size != name]
            alike = [one for one in GRID.values() if all(getattr(one, size) == getattr(profile, size) for size in same)]
            profiles += sorted(alike, key=lambda one: int(getattr(one, name)))
    return list(dict.fromkeys(profiles))


def plan(
    profiles: list[Profile],
    circuits: list[str],
    *,
    scaling: str | None = None,
    compare: bool = False,
    circuit_file: Path | None = None,
) -> list[Module]:
    """Return the modules to measure, each once.

    Args:
        profiles: sizes.
        circuits: names; when there are none, those of the file, or else all of the profile and the research ones.
        scaling: `entries`, `rows`, `bits` or `all`: measure at the other sizes too.
        compare: measure the baselines too, and `surplus`, from which leveled-only figures follow.
        circuit_file: a researcher's.

    Raises:
        ProfileError: a circuit is unknown.
        NoCircuit: the file defines none.
    """
    chosen = [circuit_by_name(name) for name in circuits] if circuit_file is None else []
    if circuit_file is not None:
        own = load_circuits(circuit_file)
        chosen = [*own, *(circuit_by_name(name) for name in circuits)]
    modules: list[Module] = []
    for profile in profiles:
        here = chosen or [circuit_by_name(name) for name in (*profile.functions, *RESEARCH)]
        compared = [circuit_by_name(name) for name in ("surplus", *BASELINES)] if compare else []
        modules += _modules(profile, [*here, *compared])
        for other in scaled(profile, scaling) if scaling else []:
            modules += _modules(other, chosen or [circuit_by_name(name) for name in SCALED])
    return _once(modules)


def _modules(profile: Profile, circuits: list[Circuit]) -> list[Module]:
    """Put circuits that share a module together."""
    together: dict[Profile, Module] = {}
    for circuit in dict.fromkeys(circuits):
        module = module_of(circuit, profile)
        before = together.get(module.profile)
        together[module.profile] = (
            module if before is None else replace(before, circuits=(*before.circuits, circuit.name))
        )
    return list(together.values())


def _once(modules: list[Module]) -> list[Module]:
    """Join modules of one profile, so that nothing is compiled or measured twice."""
    joined: dict[Profile, Module] = {}
    for module in modules:
        before = joined.setdefault(module.profile, module)
        circuits = tuple(dict.fromkeys((*before.circuits, *module.circuits)))
        joined[module.profile] = replace(before, circuits=circuits)
    return list(joined.values())
