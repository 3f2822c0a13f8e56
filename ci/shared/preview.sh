#!/usr/bin/env bash
# Saves what `pulumi up` would do as JSON, with what stays the same: a total without it would be wrong.
# usage: preview.sh STACK PLAN
set -euo pipefail
stack=$1 plan=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

mkdir -p "$(dirname "$plan")"
status=0
pulumi preview --stack "$stack" --json --show-sames --non-interactive >"$plan" || status=$?
# With --json the engine's errors stand in the plan, not in the log. Where it did not start, the plan is empty.
if [[ -s $plan ]]; then python3 "$here/show_plan.py" "$plan" || ((status != 0)); fi
((status == 0)) || echo "error: 'pulumi preview' of stack '$stack' ended with $status" >&2
exit "$status"
