#!/usr/bin/env bash
# Runs the tests folder by folder, each in a process of its own (compiled circuits are freed with it); arguments go to
# pytest.
set -uo pipefail
cd "$(dirname "$0")/.."
folders=(tests/circuits tests/fhe tests/adversary tests/e2e)
failed=0

run() {
    .venv/bin/python -m pytest "$@" || failed=1
}

for folder in "${folders[@]}"; do run "$@" "$folder"; done
run "$@" "${folders[@]/#/--ignore=}"
exit "$failed"
