"""Decides what the tier writes on GPU nodes that are there already: labels, so that pods find servers and avoid spares.

Taints are checked, not written: a node's taint list belongs to one field manager as a whole, so writing one taint
would take the others away (docs/adr/0004-node-labels-not-taints.md).
"""

from tierup.config import StandbyMode
from tierup.manifests.common import ROLE_LABEL, STACK_LABEL, Manifest
from tierup.plan import Plan

SERVING = "serving"


def standby_role(mode: StandbyMode) -> str:
    """Label value of a spare: `standby-cold` or `standby-warm`."""
    return f"standby-{mode}"


def up_roles(plan: Plan) -> list[str]:
    """Roles of nodes that are running: those in service, and warm spares."""
    warm = plan.nodes.standby_mode is StandbyMode.WARM
    return [SERVING, standby_role(StandbyMode.WARM)] if warm else [SERVING]


def all_roles(plan: Plan) -> list[str]:
    """Roles of all of the stack's nodes, spares that are powered off too."""
    return [SERVING, *([standby_role(plan.nodes.standby_mode)] if plan.nodes.standby else [])]


def node_affinity(plan: Plan, roles: list[str], *more: Manifest) -> Manifest:
    """Only this stack's nodes in these roles; those in service first."""
    terms = [
        {"key": STACK_LABEL, "operator": "In", "values": [plan.stack]},
        {"key": ROLE_LABEL, "operator": "In", "values": roles},
        *more,
    ]
    affinity: Manifest = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": terms}]}
    }
    if len(roles) > 1:
        serving = {"key": ROLE_LABEL, "operator": "In", "values": [SERVING]}
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": 100, "preference": {"matchExpressions": [serving]}}
        ]
    return affinity


def objects(plan: Plan) -> list[Manifest]:
    """One patch per node; removing it takes only these labels away."""
    spare = standby_role(plan.nodes.standby_mode)
    roles = [(name, SERVING) for name in plan.nodes.in_service] + [
        (name, spare) for name in plan.nodes.standby
    ]
    return [_patch(plan, name, role) for name, role in roles]


def _patch(plan: Plan, name: str, role: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {STACK_LABEL: plan.stack, ROLE_LABEL: role}},
    }
