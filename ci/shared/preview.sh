#!/usr/bin/env bash
# Saves what `pulumi up` would do as JSON, with what stays the same: a total without it would be wrong.
# usage: preview.sh STACK PLAN
# A preview that failed leaves no PLAN (its part of one is PLAN.failed), so that nobody prices a part.
set -euo pipefail
stack=$1 plan=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

mkdir -p "$(dirname "$plan")"
rm -f "$plan"
status=0
pulumi preview --stack "$stack" --json --show-sames --non-interactive >"$plan.failed" || status=$?
# With --json the engine's errors stand in the plan, not in the log. Where it did not start, the plan is empty.
if [[ -s $plan.failed ]]; then python3 "$here/show_plan.py" "$plan.failed" || ((status != 0)); fi
if ((status == 0)); then
	mv "$plan.failed" "$plan"
else
	echo "error: 'pulumi preview' of stack '$stack' ended with $status" >&2
fi
exit "$status"
