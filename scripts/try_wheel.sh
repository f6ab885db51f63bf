#!/usr/bin/env bash
# Builds source archive and wheel into dist/, and tries the wheel away from the checkout in two fresh environments: one
# with what a wheel without extras requires, and one with everything.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=$root/.venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Of the checkout nothing may be found but what is in the wheel.
unset PYTHONPATH

rm -rf dist
"$python" -m build --no-isolation --outdir dist . >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
wheel=$(echo "$root"/dist/*.whl)
for name in bare full; do
    "$python" -m venv --without-pip "$work/$name"
    "$python" -m pip --python "$work/$name/bin/python" install --quiet --disable-pip-version-check --no-deps "$wheel"
done
# Packages come from .venv, so that nothing is fetched: all of them, or those alone that a wheel without extras asks for.
# Its editable install is not followed: only files named .pth in an environment's own site-packages are.
"$python" scripts/core_packages.py "$work/core"
echo "$work/core" >"$(echo "$work"/bare/lib/python3*/site-packages)/borrowed.pth"
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    >"$(echo "$work"/full/lib/python3*/site-packages)/borrowed.pth"

cd "$work"
examples=$(echo "$work"/bare/lib/python3*/site-packages/atomic_margin/examples)
for name in bare full; do
    echo "trying $(basename "$wheel"), $name"
    command=$work/$name/bin/atomic-margin
    "$command" --version
    "$command" info --json >info.json
    "$command" margin --model scan --example --portfolio "$examples/portfolio.json" \
        --market "$examples/market-1.json" >/dev/null
    "$command" gap --books 2 >/dev/null
    "$command" verify --help >/dev/null
    WHERE=$work/$name "$python" - <<'END'
import json
import os
import sys
from pathlib import Path

info, where = json.loads(Path("info.json").read_text()), os.environ["WHERE"]
assert info["package"].startswith(where), info["package"]
assert info["examples"].startswith(where), info["examples"]
assert info["zk_backends"] == {"arkworks": "loads", "reference": "loads"}, info["zk_backends"]
full = where.endswith("full")
extras = dict.fromkeys(("bench", "chain", "cluster", "custodian", "fhe", "reports", "service"), full)
assert info["extras"] == extras | {"cdm": full and sys.version_info >= (3, 11)}, info["extras"]
assert (info["fhe_library"] == "loads") == full, info["fhe_library"]
END
done

# Without extras every help works, and a command that needs one says so in a sentence.
"$work/bare/bin/python" - <<'END'
from typer.main import get_command
from typer.testing import CliRunner

from atomic_margin.service.cli.main import app


def names(command, path=()):
    yield path
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from names(command.get_command(None, name), (*path, name))


for path in names(get_command(app)):
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0, (path, result.output, result.exception)
END
bare=$work/bare/bin/atomic-margin
status=0
"$bare" demo --out out >said.txt 2>&1 || status=$?
[ "$status" = 2 ]
grep -qxF "error: atomic-margin demo needs the extras fhe and service: pip install 'atomic-margin[fhe,service]'" said.txt
[ ! -e out ]
echo "the wheel works: $wheel"
