#!/usr/bin/env bash
# Runs the tests folder by folder, each in a process of its own; arguments go to pytest.
#
# Known defect (CONTRIBUTING.md): now and then a test process in which concrete-python has compiled and made keys dies
# of a segmentation fault, always between tests and never in a server or an agent. A process that dies of a signal is
# reported and run once more as a whole; a test that fails is never repeated.
set -uo pipefail
cd "$(dirname "$0")/.."
folders=(tests/circuits tests/fhe tests/adversary tests/e2e)
failed=0

run() {
    .venv/bin/python -m pytest "$@"
    local status=$?
    if [ "$status" -ge 128 ]; then
        echo "The test process died of signal $((status - 128)); running it once more: pytest $*" >&2
        .venv/bin/python -m pytest "$@"
        status=$?
    fi
    [ "$status" -eq 0 ] || failed=1
}

for folder in "${folders[@]}"; do run "$@" "$folder"; done
run "$@" "${folders[@]/#/--ignore=}"
exit "$failed"
