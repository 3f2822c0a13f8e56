"""The standard tier on two servers, and which of them runs its pods."""

from served_tier import ServedTier

from tierup.local.cluster.cluster import Cluster
from tierup.local.images.nginx import has_current_nginx

_AUTOSCALING = "  tierup:autoscaling:\n    enabled: "
_SECRETS = "".join(
    f"  tierup:secret-tls-{name}:\n    secure: v1:not:ours\n" for name in ("certificate", "key")
)


def on_two_servers(stack_file: str) -> str:
    """The text of the standard tier's file with an engine on each of two servers.

    Its gateways have a certificate, if there is an Nginx that can have one.
    """
    changes = [
        ("    count: 1\n", "    count: 2\n"),
        ("      precision: bf16\n", "      precision: bf16\n      replicas: 2\n"),
        ("capexUsd: 210000", "capexUsd: 270000"),
        (f"{_AUTOSCALING}true\n", f"{_AUTOSCALING}false\n"),
    ]
    if has_current_nginx():
        changes.append(("  tierup:gateway:\n", "  tierup:gateway:\n    tls: true\n"))
    for before, after in changes:
        assert before in stack_file
        stack_file = stack_file.replace(before, after, 1)
    return stack_file + (_SECRETS if has_current_nginx() else "")


def node_names(cluster: Cluster) -> list[str]:
    """Names of the real nodes, in their order."""
    return [node.record.name for node in cluster.nodes]


def nodes_of(tier: ServedTier, component: str) -> set[str]:
    """Names of the nodes that run pods of a component."""
    return {str(pod["spec"]["nodeName"]) for pod in tier.pods(component)}
