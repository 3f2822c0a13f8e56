"""Checks the policies of `tierup.policies` inside of `pulumi preview` and `pulumi up`: docs/policies.md."""

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
    """One that the engine asks about each resource, before it exists."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for found in policy.violations(resource(args)):
            report(found.message, None)

    return ResourceValidationPolicy(policy.name, policy.says, validate, level(policy))


def budget_policy(policy: Policy) -> StackValidationPolicy:
    """One that the engine asks about all that it made, which in a preview is what it would make."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for found in over_budget([resource(item) for item in args.resources]):
            if found.policy is policy:
                report(found.message, found.urn)

    return StackValidationPolicy(policy.name, policy.says, validate, level(policy))


def level(policy: Policy) -> EnforcementLevel:
    return EnforcementLevel(str(policy.level))


def resource(said: ResourceValidationArgs | PolicyResource) -> Resource:
    """What the engine says of a resource, as the policies read it; only components have no provider."""
    props = {key: told(said.props, key) for key in said.props}
    return Resource(
        said.urn, said.resource_type, said.name, said.opts.parent, props, said.provider is not None
    )


def told(values: Any, key: Any) -> Any:
    """One of the values as plain data; the SDK raises where it is not known yet."""
    try:
        value = values[key]
    except UnknownValueError:
        return UNKNOWN
    if isinstance(value, Mapping):
        return {inner: told(value, inner) for inner in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [told(value, index) for index in range(len(value))]
    # Numbers arrive as floats, whatever they were.
    return int(value) if isinstance(value, float) and value.is_integer() else value


if __name__ == "__main__":
    PolicyPack(
        "tierup",
        [*map(resource_policy, RESOURCE_POLICIES), *map(budget_policy, BUDGETS.values())],
        EnforcementLevel.MANDATORY,
    )
