#!/usr/bin/env bash
# Fails when the cluster or the program differs from the stack's state.
# usage: drift.sh STACK
set -euo pipefail
stack=$1

status=0
# Without --refresh, Pulumi compares only the program with the state and misses manual changes in the cluster.
pulumi preview --stack "$stack" --refresh --expect-no-changes --diff --non-interactive || status=$?
((status == 0)) || echo "error: stack '$stack' has drifted, or could not be compared ('pulumi preview' ended with $status)" >&2
exit "$status"
