#!/bin/sh
# Admit both institutions of compose.yaml once the operator serves, and book collateral for each. Doing it again is
# refused by the operator and harms nothing.
set -u
for name in alpha beta; do
    atomic-margin operator admit "$name" --name "Institution $name" --identity "$(cat "/shared/$name.pub")" \
        --dir /data --operator http://operator:8400
    atomic-margin operator deposit "$name" USDC 10000000000000 --reference "compose-$name" \
        --dir /data --operator http://operator:8400
done
exit 0
