"""Node placement of pods: the stack's own, those in service first, powered-off spares never."""

from typing import Any

from tierup.manifests.common import Manifest, selector
from tierup.plan.model import Plan
from tierup.resources.identity import ROLE_LABEL, STACK_LABEL
from tierup.stack.parse import StandbyMode

SERVING = "serving"
SERVERS = "kubernetes.io/hostname"  # a value of this label for each node


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


def spread(plan: Plan, component: str, instance: str | None = None, over: str = SERVERS) -> Manifest:
    """A soft spread of a component's pods, or of one instance's, over servers or another label of nodes.

    It counts pods of one revision: with those that a rollout removes, all new ones could end on one server.
    """
    return {
        "maxSkew": 1,
        "topologyKey": over,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(plan, component, instance)},
        "matchLabelKeys": ["pod-template-hash"],
    }


def system_placement(plan: Plan, component: str) -> dict[str, Any]:
    """Where gateway and monitoring pods go: the tier's servers, spread softly (it may be one server)."""
    return {
        "affinity": {"nodeAffinity": node_affinity(plan, up_roles(plan))},
        "topologySpreadConstraints": [spread(plan, component)],
    }
