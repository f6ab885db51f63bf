#!/usr/bin/env bash
# Creates the virtual environment named by $1 from requirements.lock. Wants CPython 3.10-3.12 on Linux x86_64 with pip
# and venv. Whatever does not suit is said in one sentence, with what to do, before anything is made.
set -euo pipefail
venv=${1:?usage: scripts/bootstrap.sh VENV}
cd "$(dirname "$0")/.."

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    echo "atomic-margin needs Linux on x86_64 (concrete-python ships no other wheel we test); this is $(uname -s) on $(uname -m)." >&2
    exit 1
fi
suits() { "$1" -c 'import sys; sys.exit(not (sys.implementation.name == "cpython" and (3, 10) <= sys.version_info < (3, 13)))' 2>/dev/null; }
# Debian splits ensurepip off: `import venv` works there, and making an environment fails half-way.
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
python=""
suitable=""
for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10}; do
    if suits "$candidate"; then
        suitable=${suitable:-$candidate}
        if has_venv "$candidate"; then python=$candidate; break; fi
    fi
done
if [ -z "$suitable" ]; then
    echo "atomic-margin needs CPython 3.10, 3.11 or 3.12; found $(${PYTHON:-python3} --version 2>&1 | head -n 1 || true). Get one, for instance with \`uv python install 3.12\` or \`pyenv install 3.12\`, and run: make PYTHON=/path/to/python install" >&2
    exit 1
fi
if [ -z "$python" ]; then
    echo "$suitable ($("$suitable" --version)) has no venv module with pip. Install it, on Debian and Ubuntu with \`apt install python3-venv\`, or get another Python, for instance with \`uv python install 3.12\`, and run: make PYTHON=/path/to/python install" >&2
    exit 1
fi
echo "Creating $venv with $("$python" --version); the first time takes about a minute and 1 GB."
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
