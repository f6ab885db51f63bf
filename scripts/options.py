"""The tables of options in docs/options.md, written from the commands: see `service/cli/configuration.py`.

python scripts/options.py > docs/options.md
"""

import sys

from atomic_margin.service.cli.configuration import ROLES, options_of

HEAD = """# Options

`atomic-margin init` writes `atomic-margin.toml` into a party's folder, with every option of its command as a comment.
The file is read in `--dir`, in the folder where a command is started, or as `--config FILE`; its table has the role's
name, its keys are the options without dashes, and its paths are relative to its folder. The command line counts before
the environment, that before the file, and the file before the default. `--dir` is the file's folder if nothing says
otherwise. Lists are written `["a", "b"]` in the file, and with spaces between in the environment.

This page is written by `scripts/options.py`.
"""


def page() -> str:
    """Return the page."""
    return HEAD + "".join(f"\n## {role.capitalize()}\n\n{_table(role)}\n" for role in ROLES)


def _table(role: str) -> str:
    commands = " and ".join(f"`atomic-margin {' '.join(path)}`" for path in ROLES[role])
    lines = [f"Of {commands}; the table is `[{role}]`.", ""]
    lines += ["| option | in the environment | by default |", "|---|---|---|"]
    for key, option in sorted(options_of(role).items()):
        if option.required:
            default = "wanted"
        elif option.default is None or (option.many and not option.default):
            default = "none"
        else:
            default = f"`{str(option.default).lower() if isinstance(option.default, bool) else option.default}`"
        lines.append(f"| `--{key}` | `{option.variable}` | {default} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
