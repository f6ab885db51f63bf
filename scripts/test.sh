#!/usr/bin/env bash
# Runs the tests in two queues beside each other, one a core, and says what each part took; arguments go to pytest.
#
# The tests of whole processes are one part, so that one enrolled world serves both folders. Circuits and FHE are parts
# of their own: compiled circuits are freed with their process. What the queue in the background prints comes last.
set -uo pipefail
# Job control, so that the queue in the background has a group of its own and is interrupted with all it started.
set -m
cd "$(dirname "$0")/.."
processes=(tests/e2e tests/adversary)
apart=(tests/circuits tests/fhe)
options=("$@")
output=$(mktemp)
TIMEFORMAT='took %R s; of the processor %U s, and %S s in the system'

# Runs one part: a name, and what pytest is given.
run() {
    local name=$1
    shift
    echo "== $name"
    time .venv/bin/python -m pytest "${options[@]}" "$@"
}

run "${processes[*]}" "${processes[@]}" >"$output" 2>&1 &
second=$!
trap 'kill -INT -- "-$second" 2>/dev/null; wait "$second"; rm -f "$output"' EXIT
trap 'exit 130' INT TERM

failed=0
for folder in "${apart[@]}"; do run "$folder" "$folder" || failed=1; done
others=("${processes[@]}" "${apart[@]}")
run "all other tests" "${others[@]/#/--ignore=}" || failed=1
echo "waiting for ${processes[*]}"
wait "$second" || failed=1
cat "$output"
# A test that wants them has said so in its part.
[ -d "${ATOMIC_MARGIN_VECTORS:-../shared/data}" ] ||
    echo "Vectors of others are absent, and what compares with them was not run: see tests/outside.py."
exit "$failed"
