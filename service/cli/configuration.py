"""Where options come from: the command line, then the environment, then a configuration file, then the default.

There is one table of it, `options_of`: the options of the commands themselves. The class of those commands, made by
`configured`, gives each option its variable, and reads the file; `atomic-margin init` writes the file from the table.

The file is TOML: a table named like the role, whose keys are the options without their dashes. Paths in it are relative
to the folder that it stands in, which also is what ``--dir`` means if nothing says otherwise.
"""

import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from atomic_margin.service.cli.output import plain_errors
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.files import read_text

FILE_NAME = "atomic-margin.toml"
MAX_FILE_BYTES = 1 << 20
ROLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "operator": (("serve",),),
    "institution": (("institution", "serve"),),
    "source": (("feed", "sign"), ("feed", "tick"), ("feed", "push")),
    "witness": (("witness",),),
    "verifier": (("verify",),),
    "signer": (("signer", "serve"),),
    "custodian": (("custodian", "serve"),),
}
"""The commands whose options each role has."""
NOT_OPTIONS = {"help", "config"}
WATCH_SECONDS = "2"
DEFAULT_PORTS = {"operator": 8400, "institution": 8401, "signer": 8420, "custodian": 8430}

SourceFolder = Annotated[
    Path | None, typer.Option("--dir", help="The source's folder, for its options.", show_default="here")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Options as a file.", show_default=f"{FILE_NAME} in --dir, or here"),
]


@dataclass(frozen=True)
class Option:
    """An option that a file or the environment may give.

    Attributes:
        key: in the file: its name without dashes in front.
        variable: of the environment.
        help: what it says of itself.
        default: None if it has none.
        many: whether it is a list.
        required: whether the command wants it.
    """

    key: str
    variable: str
    help: str
    default: Any
    many: bool
    required: bool


def options_of(role: str) -> dict[str, Option]:
    """Return the options of a role by their keys, as its commands declare them."""
    found: dict[str, Option] = {}
    for path in ROLES[role]:
        module = import_module(f"atomic_margin.service.cli.{path[0].replace('-', '_')}")
        command: Any = typer.main.get_command(module.app)
        if len(path) > 1:
            command = command.get_command(None, path[1])
        for parameter in _options(command.params):
            key = _key(parameter)
            default = parameter.default
            found[key] = Option(
                key=key,
                variable=_variable(role, key),
                help=parameter.help or "",
                default=None if callable(default) else getattr(default, "value", default),
                many=bool(parameter.multiple),
                required=bool(parameter.required),
            )
    return found


def configured(role: str) -> type[TyperCommand]:
    """Return the class of commands whose options may come from the environment, or from a role's table of a file."""

    class Configured(TyperCommand):
        """A command whose options have other places to come from than the command line."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            for parameter in _options(self.params):
                parameter.envvar = _variable(role, _key(parameter))
                # The table is in the documentation: in every help it would be half of it.
                parameter.show_envvar = False

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            with plain_errors():
                file = find_file(role, _given(args, "--config"), _given(args, "--dir"))
                if file is not None and not {"--help"} & set(args):
                    by_key = {_key(parameter): parameter for parameter in _options(self.params)}
                    known = {*by_key, *options_of(role)}
                    values = read_file(file, role, known)
                    ctx.default_map = _values(file, values, by_key, _paths(self.callback))
            return super().parse_args(ctx, args)

    return Configured


def addressed(role: str, address: str) -> type[TyperGroup]:
    """Return the class of groups whose commands ask a role's own server: its folder and address are the file's.

    Args:
        role: whose server.
        address: the parameter that has its address.
    """

    class Addressed(TyperGroup):
        """A group that looks up in the role's file what its commands need to find the server."""

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            args = _with_seconds(args)
            with plain_errors():
                file = find_file(role, None, _given(args, "--dir"))
                port = _port(role, file)
                known = {"directory": str(file.parent)} if file is not None else {}
                if port is not None:
                    known |= {address: f"http://127.0.0.1:{port}"}
                ctx.default_map = dict.fromkeys(self.list_commands(ctx), known)
            return super().resolve_command(ctx, args)

    return Addressed


def told(role: str, key: str, directory: Path) -> str | None:
    """Return what the server of a folder is told about an option by the environment or its file, None for nothing.

    Raises:
        ConfigurationError: the file is wrong.
    """
    said = os.environ.get(_variable(role, key))
    if said is None:
        file = find_file(role, None, str(directory))
        said = None if file is None else read_file(file, role, options_of(role)).get(key)
    return str(said) if said else None


def find_file(role: str, config: str | None, directory: str | None) -> Path | None:
    """Return the file that holds a role's options, if there is one.

    Args:
        role: whose.
        config: that somebody named.
        directory: the role's folder, if somebody named it.

    Raises:
        ConfigurationError: a file was named that is not there.
    """
    named = config or os.environ.get(_variable(role, "config"))
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"{named} is not there; `atomic-margin init {role} DIR` makes one")
        return Path(named)
    folder = directory or os.environ.get(_variable(role, "dir"))
    if folder:
        return Path(folder) / FILE_NAME if (Path(folder) / FILE_NAME).is_file() else None
    here = Path(FILE_NAME)
    # In a folder of another role it says nothing about this one.
    return here if here.is_file() and role in _parsed(here) else None


def read_file(path: Path, role: str, known: Iterable[str]) -> dict[str, Any]:
    """Return the options of a role in a file.

    Raises:
        ConfigurationError: it is no TOML, has no table of the role, or an option that is not known; file and key are
            named.
    """
    tables = _parsed(path)
    unknown = sorted(set(tables) - set(ROLES))
    if unknown:
        raise ConfigurationError(f"{path}: {unknown[0]}: there are tables for {', '.join(ROLES)}, and nothing else")
    if role not in tables:
        raise ConfigurationError(f"{path} has no table [{role}], but {', '.join(tables) or 'none'}")
    found = tables[role]
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: {role}: write a table, [{role}]")
    wrong = sorted(set(found) - set(known))
    if wrong:
        raise ConfigurationError(f"{path}: {role}.{wrong[0]}: there is no such option; see `--help`")
    for key, value in found.items():
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, (str, int, float)) for part in parts):
            raise ConfigurationError(f"{path}: {role}.{key}: write a text, a number, true or false, or a list of them")
    return dict(found)


def text_of(role: str, values: Mapping[str, Any]) -> str:
    """Return a file with all options of a role: those with values set, the others as comments with their defaults."""
    command = " ".join(ROLES[role][0])
    lines = [
        f"# Options of `atomic-margin {command}`. It reads this file in --dir, where it is started, or as",
        f"# --config. The command line counts before the environment ({_variable(role, '...')}), and that before this.",
        "# Paths are relative to this folder.",
        "",
        f"[{role}]",
    ]
    for key, option in sorted(options_of(role).items()):
        if key in ("dir", "json"):
            continue
        lines += [f"# {part}" for part in option.help.splitlines()]
        if key in values:
            lines.append(f"{key} = {_toml(values[key])}")
        elif option.default is None or (option.many and not option.default):
            lines.append(f"#{key} = {'[]' if option.many else _toml('')}")
        else:
            lines.append(f"#{key} = {_toml(option.default)}")
    return "\n".join([*lines, ""])


def _port(role: str, file: Path | None) -> int | None:
    said = os.environ.get(_variable(role, "port"))
    if said is None and file is not None:
        said = read_file(file, role, options_of(role)).get("port", DEFAULT_PORTS.get(role))
    if said is None:
        return None
    if not str(said).isdigit() or not 0 < int(said) < 1 << 16:
        raise ConfigurationError(f"a port is a number from 1 to 65535, got {said!r} for the {role}")
    return int(said)


def _paths(callback: Any) -> set[str]:
    """Return the names of the parameters of a command that are paths."""
    hints = get_type_hints(inspect.unwrap(callback))
    return {name for name, hint in hints.items() if hint is Path or Path in _parts(hint)}


def _parts(hint: Any) -> set[Any]:
    found = set(get_args(hint))
    return found.union(*map(_parts, found)) if found else found


def _values(path: Path, found: Mapping[str, Any], by_key: Mapping[str, Any], paths: set[str]) -> dict[str, Any]:
    """Return the defaults of parameters by their names, with paths as seen from here."""
    folder = path.parent
    values: dict[str, Any] = {}
    if "dir" in by_key:
        values[by_key["dir"].name] = str(folder)
    for key, value in found.items():
        parameter = by_key.get(key)
        if parameter is None:
            continue
        if parameter.name in paths:
            value = [str(folder / one) for one in value] if isinstance(value, list) else str(folder / str(value))
        values[parameter.name] = value
    return values


def _parsed(path: Path) -> dict[str, Any]:
    try:
        # In the standard library from Python 3.11 on.
        toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        raise ConfigurationError(f"{path} cannot be read: pip install tomli, or use Python 3.11") from None
    try:
        return dict(toml.loads(read_text(path, limit=MAX_FILE_BYTES)))
    except ValueError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from None


def _options(parameters: Iterable[Any]) -> list[Any]:
    options = [one for one in parameters if one.param_type_name == "option"]
    return [one for one in options if one.name not in NOT_OPTIONS]


def _key(parameter: Any) -> str:
    return str(max(parameter.opts, key=len)).lstrip("-")


def _variable(role: str, key: str) -> str:
    return f"ATOMIC_MARGIN_{role}_{key}".upper().replace("-", "_")


def _given(args: list[str], option: str) -> str | None:
    """Return what the command line says for an option, before anything parses it."""
    for number, word in enumerate(args):
        if word == option and number + 1 < len(args):
            return args[number + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _with_seconds(args: list[str]) -> list[str]:
    """Return the arguments with the usual seconds behind a ``--watch`` that has none."""
    found: list[str] = []
    for number, word in enumerate(args):
        found.append(word)
        following = args[number + 1] if number + 1 < len(args) else "-"
        if word == "--watch" and not following[:1].isdigit():
            found.append(WATCH_SECONDS)
    return found


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
