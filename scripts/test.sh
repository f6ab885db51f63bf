#!/usr/bin/env bash
# Runs the tests in parts, two beside each other, one a core, and says what each part took; arguments go to pytest.
#
# Whoever is free takes the next part, so the longest come first. The tests of whole processes are one part, so that one
# enrolled world serves both folders; those of the service are two, or one of them would outlast all others. Circuits and
# FHE are parts of their own: compiled circuits are freed with their process. What the parts in the background print
# comes after all others; then faults are played, alone.
set -uo pipefail
# Job control, so that the parts in the background have a group of their own and are interrupted with all they started.
set -m
cd "$(dirname "$0")/.."
parts=("tests/service, a to g" "tests/service, the rest" "tests/e2e tests/adversary" "all other tests" tests/circuits tests/fhe)
options=("$@")
# What depends on the database, once more on PostgreSQL: in all but the quick run. See tests/postgres.py.
on_postgresql="tests/service, on PostgreSQL"
[[ "$*" == *"not slow and not long"* ]] || parts+=("$on_postgresql")
state=$(mktemp -d)
TIMEFORMAT='took %R s; of the processor %U s, and %S s in the system'

# Runs one part, by its name.
run() {
    local named=() part
    case "$1" in
    "all other tests")
        for part in tests/e2e tests/adversary tests/chaos tests/service tests/fhe tests/circuits; do named+=("--ignore=$part"); done
        ;;
    "tests/service, a to g") named=(tests/service/test_[a-g]*.py) ;;
    "tests/service, the rest") named=(tests/service "--ignore-glob=tests/service/test_[a-g]*.py") ;;
    "$on_postgresql")
        for part in accounts backup concurrency contract crash_points database feed_receipts limits log malformed_bodies \
            migrations policy problems runs scheduling settlement taking_back; do named+=("tests/service/test_$part.py"); done
        local -x ATOMIC_MARGIN_TEST_DATABASE=postgresql
        ;;
    *) read -ra named <<<"$1" ;;
    esac
    echo "== $1"
    time .venv/bin/python -m pytest "${options[@]}" "${named[@]}"
}

# Runs parts that nobody has taken until there are none.
work() {
    local number failed=0
    for number in "${!parts[@]}"; do
        mkdir "$state/$number" 2>/dev/null || continue
        run "${parts[$number]}" || failed=1
    done
    return "$failed"
}

work >"$state/output" 2>&1 &
second=$!
trap 'kill -INT -- "-$second" 2>/dev/null; wait "$second"; rm -rf "$state"' EXIT
trap 'exit 130' INT TERM

failed=0
work || failed=1
echo "waiting for what runs in the background"
wait "$second" || failed=1
cat "$state/output"
# Faults come at moments of runs, and what recovers has its time: nothing runs beside them. None is in the quick run.
[[ "$*" == *"not slow and not long"* ]] || run tests/chaos || failed=1
# A test that wants them has said so in its part.
[ -d "${ATOMIC_MARGIN_VECTORS:-../shared/data}" ] ||
    echo "Vectors of others are absent, and what compares with them was not run: see tests/outside.py."
exit "$failed"
