#!/usr/bin/env bash
# Reports the cost of a saved plan, then checks its budget and policies, so that a failed job has printed its reason.
# usage: judge.sh STACK PLAN [github|gitlab]
# With a forge the cost is also written as a comment (see cost_comment.py). TIERUP_STRICT=true: an unpriced resource is an error.
# Without a PLAN the preview failed, as it does over a mandatory budget: this reports the stack file's cost and fails.
# Exit code: of `tierup cost`, else of `tierup policy`, else of the comment.
set -euo pipefail
stack=$1 plan=$2 forge=${3-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
comment=$(dirname "$plan")/comment.md
strict=()
[[ ${TIERUP_STRICT:-false} != true ]] || strict=(--strict)

cost=0 policy=0 posted=0
mkdir -p "$(dirname "$plan")"
if [[ -s $plan ]]; then
	tierup cost --plan "$plan" --stack "$stack" --format markdown "${strict[@]}" >"$comment" || cost=$?
	tierup policy --plan "$plan" || policy=$?
	((policy == 0)) || echo "error: stack '$stack' breaks a mandatory policy, or could not be checked ($policy)" >&2
else
	printf '<!-- tierup-cost:%s -->\n**The preview failed** (see its log): there is no cost difference, and policies were not checked.\n\n' "$stack" >"$comment"
	tierup cost --stack "$stack" --format markdown "${strict[@]}" >>"$comment" || cost=$?
	policy=1
	echo "error: stack '$stack' has no plan: policies were not checked" >&2
fi

case $cost in
0) ;;
3) echo "error: stack '$stack' is over budget" >&2 ;;
4) echo "error: stack '$stack' has a resource without a price, and TIERUP_STRICT is on" >&2 ;;
*) echo "error: the cost of stack '$stack' could not be computed ('tierup cost' ended with $cost)" >&2 ;;
esac

case $cost in
0 | 3 | 4) # the text is complete
	[[ -z ${GITHUB_STEP_SUMMARY-} ]] || cat "$comment" >>"$GITHUB_STEP_SUMMARY"
	if [[ -n $forge && -z ${TIERUP_COMMENT_TOKEN-} ]]; then
		echo "no comment: TIERUP_COMMENT_TOKEN is not set; the text is in $comment" >&2
	elif [[ -n $forge ]]; then
		python3 "$here/cost_comment.py" "$forge" "$comment" || posted=$?
	fi
	;;
esac

for status in "$cost" "$policy" "$posted"; do
	((status == 0)) || exit "$status"
done
