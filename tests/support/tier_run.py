"""Run a tier's program with the fake engine."""

import pulumi
import pulumi_kubernetes as k8s
from fake_engine import Run, run_program

from components.tier import InferenceTier, TierArgs
from tierup.plan.model import Plan

HUB_TOKEN = "hf-value-that-nobody-may-see"


def tier_program(plan: Plan) -> InferenceTier:
    def secret(name: str) -> pulumi.Output[str]:
        assert name in plan.secrets, f"unknown secret {name}"
        return pulumi.Output.secret(HUB_TOKEN)

    return InferenceTier(plan.stack, TierArgs(plan, k8s.Provider("cluster"), secret))


def run_tier(plan: Plan) -> Run:
    return run_program(lambda: tier_program(plan), stack=plan.stack)
