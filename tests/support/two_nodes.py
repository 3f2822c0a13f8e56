"""A tier on two servers, and which of them runs its pods."""

from served_tier import ServedTier

from tierup.local.cluster.cluster import Cluster

_AUTOSCALING = "  tierup:autoscaling: {enabled: false}\n"


def on_two_servers(stack_file: str) -> str:
    """The text of the entry tier's file with an engine on each of two servers."""
    for before, after in (
        ("    count: 1\n", "    count: 2\n"),
        ("      precision: bf16\n", "      precision: bf16\n      replicas: 2\n"),
        ("capexUsd: 20000", "capexUsd: 40000"),
        ("  tierup:accept:", f"{_AUTOSCALING}  tierup:unused:"),
    ):
        assert before in stack_file
        stack_file = stack_file.replace(before, after, 1)
    return stack_file.partition("  tierup:unused:")[0]


def node_names(cluster: Cluster) -> list[str]:
    """Names of the real nodes, in their order."""
    return [node.record.name for node in cluster.nodes]


def nodes_of(tier: ServedTier, component: str) -> set[str]:
    """Names of the nodes that run pods of a component."""
    return {str(pod["spec"]["nodeName"]) for pod in tier.pods(component)}
