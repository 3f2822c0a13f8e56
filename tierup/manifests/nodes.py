"""Labels for existing nodes, so that pods are placed on servers in service, not on spares.

No taints: a node's taint list belongs to one field manager as a whole, so writing one would take the
others away (docs/adr/0004-node-labels-not-taints.md).
"""

from tierup.manifests.common import Manifest
from tierup.manifests.placement import SERVING, standby_role
from tierup.plan.model import Plan
from tierup.resources.identity import ROLE_LABEL, STACK_LABEL


def objects(plan: Plan) -> list[Manifest]:
    """One patch per node; removing it removes only these labels."""
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
