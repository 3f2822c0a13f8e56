"""The gateway: Nginx in front of the model servers."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.kube import Kube
from tierup.manifests import exposure, gateway
from tierup.plan.model import Plan


@dataclass(frozen=True)
class GatewayArgs:
    plan: Plan
    kube: Kube
    after: Sequence[pulumi.Resource]


class Gateway(pulumi.ComponentResource):
    """Nginx with API keys, request classes, a bounded queue, timeouts and load balancing."""

    resources: dict[str, pulumi.CustomResource]
    address: str

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        plan = args.plan.gateway
        self.address = exposure.address(args.plan)
        props = {
            "replicas": plan.replicas,
            "queueLength": plan.queue_length,
            "callers": [key.name for key in plan.keys],
            "serviceType": str(plan.service_type),
        }
        super().__init__("tierup:gateway:Gateway", name, props, opts)
        self.resources = args.kube.apply(gateway.objects(args.plan), self, depends_on=args.after)
        self.register_outputs({**props, "address": self.address})
