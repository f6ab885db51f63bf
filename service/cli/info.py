"""`atomic-margin info`: what is installed here, what of it works, and on which machine. For reports of defects."""

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import atomic_margin
from atomic_margin.bench.environment import environment
from atomic_margin.circuits.cache import VARIABLE, cache_directory
from atomic_margin.circuits.errors import CircuitError
from atomic_margin.circuits.profile import GRID
from atomic_margin.service.cli.extras import EXTRAS, missing_modules
from atomic_margin.service.cli.output import out, plain_errors, print_json
from atomic_margin.service.files import examples_folder
from atomic_margin.service.protocol.ceilings import instruments_of
from atomic_margin.zk.bits.parameters import MAX_BITS
from atomic_margin.zk.errors import BackendUnavailable
from atomic_margin.zk.generators import SHIPPED
from atomic_margin.zk.groups import load_group

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

LIBRARIES = (
    "concrete-python",
    "cryptography",
    "fastapi",
    "httpx",
    "matplotlib",
    "numpy",
    "py-arkworks-bls12381",
    "py-ecc",
    "pydantic",
    "scipy",
    "sqlalchemy",
    "tenseal",
    "typer",
    "uvicorn",
)
BACKENDS = ("arkworks", "reference")
SHOWN_PROFILES = ("64x16x20", "256x24x24", "1024x64x24", "4096x64x24")
"""Whose instruments are told; `service.protocol.ceilings` has them for every profile."""


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="Print for machines; sizes in bytes.")] = False) -> None:
    """Print versions, extras, group backends, the FHE library, caches and the machine.

    Put it into a report of a defect. Exit status 0, whatever is missing: only `verify`, `margin` and `gap` do without
    extras.

        atomic-margin info --json
    """
    with plain_errors():
        figures = gather()
    if as_json:
        print_json(figures)
    else:
        _show(figures)


def gather() -> dict[str, Any]:
    """Return what `info --json` prints: plain JSON values, sizes in bytes, null for what is not installed."""
    here = environment("atomic-margin info")
    return {
        "version": atomic_margin.__version__,
        "revision": here["git"],
        "package": str(Path(atomic_margin.__file__).parent),
        "examples": str(examples_folder()),
        "python": f"{platform.python_implementation()} {here['python']}",
        "system": platform.platform(),
        "machine": here["machine"],
        "libraries": {name: _version(name) for name in LIBRARIES},
        "extras": {extra: not missing_modules(extra) for extra in EXTRAS},
        "zk_backends": {name: _problem(load_group, name) or "loads" for name in BACKENDS},
        "fhe_library": _problem(_load_fhe) or "loads",
        "ceilings": {
            "proof_bits": MAX_BITS,
            "instruments": {name: instruments_of(GRID[name]) for name in SHOWN_PROFILES},
        },
        "caches": _caches(),
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _problem(load: Callable[..., object], *arguments: str) -> str | None:
    """Return why something does not load, or None."""
    try:
        load(*arguments)
    except (BackendUnavailable, CircuitError) as error:
        return str(error)
    return None


def _load_fhe() -> object:
    from atomic_margin.circuits import concrete

    return concrete.cfhe


def _caches() -> dict[str, Any]:
    """Return the cache of this user: compiled modules by profile, and generators where the shipped file is missing."""
    try:
        directory = cache_directory()
    except (CircuitError, OSError) as error:
        return {"directory": None, "problem": str(error)}
    if directory is None:
        return {"directory": None, "problem": f"{VARIABLE}=off"}
    return {
        "directory": str(directory),
        "profiles": _measured(directory / "modules", [directory / "modules"]),
        "generators": _measured(SHIPPED, [SHIPPED, *directory.glob("generators-*")]),
    }


def _measured(shown: Path, places: list[Path]) -> dict[str, Any]:
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
    return {"place": str(shown), "files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def _show(figures: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    machine, caches = figures["machine"], figures["caches"]
    revision = f" ({figures['revision']})" if figures["revision"] else ""
    rows = {
        "atomic-margin": f"{figures['version']}{revision}",
        "package": figures["package"],
        "examples": figures["examples"],
        "python": figures["python"],
        "system": figures["system"],
        "processor": f"{machine['cpu']}, {machine['cores']} cores",
        "memory": f"{machine['memory_bytes'] / (1 << 30):.1f} GiB",
        **{f"extra {extra}": "installed" if there else "missing" for extra, there in figures["extras"].items()},
        **{f"backend {name}": state for name, state in figures["zk_backends"].items()},
        "FHE library": figures["fhe_library"],
        "instruments": _ceilings(figures["ceilings"]["instruments"]),
        **(
            {f"cache, {name}": _cache_line(caches[name]) for name in ("profiles", "generators")}
            if caches["directory"]
            else {"caches": caches["problem"]}
        ),
        **{name: found or "not installed" for name, found in figures["libraries"].items()},
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    out.print(table, markup=False)


def _ceilings(instruments: dict[str, int]) -> str:
    shown = ", ".join(f"{count} with {name}" for name, count in instruments.items())
    return f"an account covers at most {shown}"


def _cache_line(measured: dict[str, Any]) -> str:
    return f"{measured['bytes'] / (1 << 20):.1f} MiB in {measured['files']} files, {measured['place']}"
