"""Existing GPU servers: the stack labels them and removes its labels on destroy."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.kube import Kube
from tierup.manifests import nodes
from tierup.plan.inputs import node_inputs
from tierup.plan.model import Plan
from tierup.resources.kinds import NODES


@dataclass(frozen=True)
class GpuNodesArgs:
    plan: Plan
    kube: Kube
    after: Sequence[pulumi.Resource]


class GpuNodes(pulumi.ComponentResource):
    """Labels on the nodes in service and on the spare nodes."""

    resources: dict[str, pulumi.CustomResource]

    def __init__(self, name: str, args: GpuNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        props = node_inputs(args.plan.nodes)
        super().__init__(NODES, name, props, opts)
        self.resources = args.kube.apply(nodes.objects(args.plan), self, depends_on=args.after)
        self.register_outputs(props)
