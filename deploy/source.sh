#!/bin/sh
# A price source of compose.yaml: sign the market that stands in /shared/market-1.json for the next tick, and push it;
# source A then asks for the tick, which holds all that was pushed. A market whose time does not advance makes none:
# replace the file with one of a later time.
set -eu
umask 077
operator=http://operator:8400
as_set='import json, sys
signed = json.load(sys.stdin)
number = signed["body"]["market"]["sequence"]
json.dump({"format": "atomic-margin/prices/2", "sequence": number, "prices": [signed]}, sys.stdout)'
while :; do
    if atomic-margin feed sign /shared/market-1.json --key /data/source.key --price-rules /shared/price-rules.json \
        --operator "$operator" >/tmp/signed.json &&
        atomic-margin feed push /tmp/signed.json --key /data/source.key --operator "$operator" &&
        [ "${MAKES_TICKS:-no}" = yes ]; then
        sleep 5
        python -c "$as_set" </tmp/signed.json >/tmp/set.json
        atomic-margin feed post /tmp/set.json --operator "$operator" || true
    fi
    sleep "${TICK_SECONDS:-60}"
done
