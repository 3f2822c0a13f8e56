"""The Pulumi policy pack: checks `tierup.policies` in `pulumi preview` and `pulumi up` (docs/policies.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from tierup.policies.budget import BUDGETS, over_budget
from tierup.policies.pack import RESOURCE_POLICIES
from tierup.policies.rule import Policy, ResourcePolicy
from tierup.resources.model import UNKNOWN, Resource


def resource_policy(policy: ResourcePolicy) -> ResourceValidationPolicy:
    """A policy that Pulumi checks for each resource before creating it."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for violation in policy.violations(resource(args)):
            report(violation.message, None)

    return ResourceValidationPolicy(policy.name, policy.rule, validate, level(policy))


def budget_policy(policy: Policy) -> StackValidationPolicy:
    """A policy that Pulumi checks for all resources of the stack, in a preview for the planned ones."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for violation in over_budget([resource(item) for item in args.resources]):
            if violation.policy is policy:
                report(violation.message, violation.urn)

    return StackValidationPolicy(policy.name, policy.rule, validate, level(policy))


def level(policy: Policy) -> EnforcementLevel:
    return EnforcementLevel(str(policy.level))


def resource(args: ResourceValidationArgs | PolicyResource) -> Resource:
    """Convert Pulumi's description of a resource for our policies; only components have no provider."""
    props = {key: plain_value(args.props, key) for key in args.props}
    return Resource(
        args.urn, args.resource_type, args.name, args.opts.parent, props, args.provider is not None
    )


def plain_value(values: Any, key: Any) -> Any:
    """One of the values as plain data, or UNKNOWN; the SDK raises for a value that is not known yet."""
    try:
        value = values[key]
    except UnknownValueError:
        return UNKNOWN
    if isinstance(value, Mapping):
        return {inner: plain_value(value, inner) for inner in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain_value(value, index) for index in range(len(value))]
    # The SDK passes all numbers as floats.
    return int(value) if isinstance(value, float) and value.is_integer() else value


if __name__ == "__main__":
    PolicyPack(
        "tierup",
        [*map(resource_policy, RESOURCE_POLICIES), *map(budget_policy, BUDGETS.values())],
        EnforcementLevel.MANDATORY,
    )
