#!/usr/bin/env bash
# Saves what `pulumi up` would do as JSON, with unchanged resources, which a total needs.
# usage: preview.sh STACK PLAN
# A failed preview leaves no PLAN, so that nobody prices an incomplete plan; PLAN.failed has what there is.
set -euo pipefail
stack=$1 plan=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

mkdir -p "$(dirname "$plan")"
rm -f "$plan"
status=0
pulumi preview --stack "$stack" --json --show-sames --non-interactive >"$plan.failed" || status=$?
# With --json Pulumi's errors are in the plan, not in the log. If Pulumi did not start, the plan is empty.
if [[ -s $plan.failed ]]; then python3 "$here/show_plan.py" "$plan.failed" || ((status != 0)); fi
if ((status == 0)); then
	mv "$plan.failed" "$plan"
else
	echo "error: 'pulumi preview' of stack '$stack' ended with $status" >&2
fi
exit "$status"
