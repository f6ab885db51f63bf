#!/usr/bin/env bash
# Runs the tests in parts, two beside each other, one a core, and says what each part took; arguments go to pytest.
#
# Whoever is free takes the next part, so the longest come first. The tests of whole processes are one part, so that one
# enrolled world serves both folders; those of the service are two, or one of them would outlast all others. Circuits and
# FHE are parts of their own: compiled circuits are freed with their process. In all but the quick run, those of the
# service and of whole processes are run on PostgreSQL too: see tests/postgres.py. What the parts in the background
# print comes after all others; then faults are played, in two parts with nothing else beside them.
set -uo pipefail
# Job control, so that the parts in the background have a group of their own and are interrupted with all they started.
set -m
cd "$(dirname "$0")/.."
options=("$@")
processes="tests/e2e tests/adversary tests/bench/test_load.py"
stored=("tests/service, a to g" "tests/service, the rest")
on_postgresql=", on PostgreSQL"
parts=("${stored[0]}" "$processes" "${stored[1]}" "all other tests" tests/fhe tests/circuits)
# What is left out of whole processes there is about models, circuits, proofs and executors.
replayed="tests/adversary/test_replay.py tests/adversary/test_market_chain.py"
[[ "$*" == *"not slow and not long"* ]] ||
    parts=("tests/e2e $replayed tests/bench/test_load.py$on_postgresql" "${stored[@]/%/$on_postgresql}" "${parts[@]}")
state=$(mktemp -d)
TIMEFORMAT='took %R s; of the processor %U s, and %S s in the system'

# Runs one part, by its name.
run() {
    local named=() part=()
    [[ "$1" != *"$on_postgresql" ]] || {
        local -x ATOMIC_MARGIN_TEST_DATABASE=postgresql
        # Custodians have no database of the operator's, whose part is in tests/service/custody.
        named=(--ignore=tests/service/custodian)
        for part in models demo_chain demo_custodians quickstart scheduling cluster pmrm_three_ways; do
            named+=("--ignore=tests/e2e/test_$part.py")
        done
    }
    case "${1%"$on_postgresql"}" in
    "all other tests")
        for part in $processes tests/chaos tests/service tests/fhe tests/circuits; do named+=("--ignore=$part"); done
        ;;
    "tests/chaos, j to z") named+=(tests/chaos/test_[j-z]*.py) ;;
    "tests/chaos, the rest") named+=(tests/chaos "--ignore-glob=tests/chaos/test_[j-z]*.py") ;;
    "tests/service, a to g") named+=(tests/service/test_[a-g]*.py) ;;
    "tests/service, the rest") named+=(tests/service "--ignore-glob=tests/service/test_[a-g]*.py") ;;
    *) read -ra part <<<"${1%"$on_postgresql"}"; named+=("${part[@]}") ;;
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
# Faults come at moments of runs, and what recovers has its time: it mostly waits, so two parts share the cores, and
# nothing else runs beside them. None is in the quick run.
if [[ "$*" != *"not slow and not long"* ]]; then
    run "tests/chaos, j to z" >"$state/faults" 2>&1 &
    second=$!
    run "tests/chaos, the rest" || failed=1
    wait "$second" || failed=1
    cat "$state/faults"
fi
# A test that wants them has said so in its part.
[ -d "${ATOMIC_MARGIN_VECTORS:-../shared/data}" ] ||
    echo "Vectors of others are absent, and what compares with them was not run: see tests/outside.py."
exit "$failed"
