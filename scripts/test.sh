#!/usr/bin/env bash
# Runs the tests folder by folder, each in a process of its own (compiled circuits are freed with it); arguments go to
# pytest. The end-to-end tests, which mostly wait for the processes they start, run beside all others; what they print
# comes last.
set -uo pipefail
# Job control, so that the process in the background has a group of its own and is interrupted with all it started.
set -m
cd "$(dirname "$0")/.."
beside=tests/e2e
folders=(tests/circuits tests/fhe tests/adversary)
failed=0
output=$(mktemp)

.venv/bin/python -m pytest "$@" "$beside" >"$output" 2>&1 &
second=$!
trap 'kill -INT -- "-$second" 2>/dev/null; wait "$second"; rm -f "$output"' EXIT
trap 'exit 130' INT TERM

run() {
    .venv/bin/python -m pytest "$@" || failed=1
}

for folder in "${folders[@]}"; do run "$@" "$folder"; done
run "$@" --ignore="$beside" "${folders[@]/#/--ignore=}"
echo "waiting for $beside"
wait "$second" || failed=1
cat "$output"
exit "$failed"
