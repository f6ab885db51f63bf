"""The half of `atomic-margin verify` that is about many bundles and archives: a table, JSON, and a page."""

import html
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from atomic_margin.documents.fields import instant_text
from atomic_margin.service.cli.output import EXIT_REFUSED, out, print_json
from atomic_margin.service.errors import ConfigurationError

SUFFIXES = (".json", ".zip")
MOST_FILES = 100_000
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;"
    "border-top:1px solid #8886}.fails{font-weight:600}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Of a page that is a file: the one style is in it, and nothing else is taken."""


@dataclass(frozen=True)
class Verdict:
    """What was found of one file.

    Attributes:
        file: which.
        valid: whether every step holds.
        said: what it says, in a sentence; or the step that does not hold, and why.
        found: all of it, for machines.
    """

    file: Path
    valid: bool
    said: str
    found: dict[str, Any] = field(default_factory=dict)


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the bundles and archives that paths name: files, and those in folders, by name.

    Raises:
        ConfigurationError: a folder has none, or there are too many.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(one for one in path.iterdir() if one.is_file() and one.suffix in SUFFIXES)
        if not inside:
            raise ConfigurationError(f"{path} holds no bundle (.json) and no archive (.zip)")
        found += inside
    if len(found) > MOST_FILES:
        raise ConfigurationError(f"{len(found)} files are more than {MOST_FILES}; verify them in parts")
    return found


def verify_all(files: list[Path], check: Callable[[Path], Verdict], as_json: bool, page: Path | None) -> None:
    """Verify files one by one, and show what came out; ends with status 1 if one does not hold.

    Args:
        files: bundles and archives.
        check: verifies one.
        as_json: print JSON.
        page: where to write a page, if anywhere.
    """
    verdicts = []
    for file in files:
        verdict = check(file)
        verdicts.append(verdict)
        if not as_json:
            out.print(Text(f"{'✓' if verdict.valid else '✗'} {file}: {verdict.said}"), soft_wrap=True)
    failed = sum(not verdict.valid for verdict in verdicts)
    if page is not None:
        page.write_text(_page(verdicts), encoding="utf-8")
    if as_json:
        said = [{"file": str(one.file), "valid": one.valid, **one.found} for one in verdicts]
        print_json({"valid": not failed, "files": said})
    else:
        out.print(f"{len(verdicts) - failed} of {len(verdicts)} valid", style="bold red" if failed else "bold green")
        sys.stdout.flush()
    if failed:
        raise typer.Exit(EXIT_REFUSED)


def _page(verdicts: list[Verdict]) -> str:
    """Return a page that stands alone: nothing is taken from elsewhere, and nothing runs."""
    failed = sum(not verdict.valid for verdict in verdicts)
    written = instant_text(datetime.now(timezone.utc))
    rows = "\n".join(
        f'<tr class="{"holds" if one.valid else "fails"}"><td>{"valid" if one.valid else "NOT VALID"}</td>'
        f"<td>{_escaped(one.file)}</td><td>{_escaped(one.said)}</td></tr>"
        for one in verdicts
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Verified bundles</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>Verified bundles</h1>\n"
        f"<p>{len(verdicts) - failed} of {len(verdicts)} valid, verified {written} by atomic-margin.</p>\n"
        '<table>\n<thead><tr><th scope="col">Verdict</th><th scope="col">File</th><th scope="col">What it says'
        f"</th></tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</body>\n</html>\n"
    )


def _escaped(value: object) -> str:
    return html.escape(str(value), quote=True)
