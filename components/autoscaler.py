"""The autoscaler of one model; nothing else sets the number of its replicas."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.kube import Kube
from tierup.manifests import autoscaler
from tierup.plan.model import ModelPlan, Plan


@dataclass(frozen=True)
class AutoscalerArgs:
    plan: Plan
    model: ModelPlan
    kube: Kube
    after: Sequence[pulumi.Resource]


class Autoscaler(pulumi.ComponentResource):
    """A HorizontalPodAutoscaler between the planned replicas and the most that the GPUs can run."""

    resources: dict[str, pulumi.CustomResource]

    def __init__(self, name: str, args: AutoscalerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        props = {"minReplicas": args.model.replicas, "maxReplicas": args.model.max_replicas}
        super().__init__("tierup:model:Autoscaler", name, props, opts)
        self.resources = args.kube.apply(
            autoscaler.objects(args.plan, args.model), self, depends_on=args.after
        )
        self.register_outputs(props)
