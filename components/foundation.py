"""The base objects of a tier: namespace, quota, priority class, default-deny network policy."""

from dataclasses import dataclass

import pulumi

from components.kube import Kube
from tierup.manifests import base
from tierup.plan.model import Plan


@dataclass(frozen=True)
class FoundationArgs:
    plan: Plan
    kube: Kube


class Foundation(pulumi.ComponentResource):
    """Everything that must exist before the first pod, so that network and pod security rules apply from the start."""

    resources: dict[str, pulumi.CustomResource]

    def __init__(self, name: str, args: FoundationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        props = {"namespace": args.plan.namespace, "podSecurity": base.POD_SECURITY}
        super().__init__("tierup:base:Foundation", name, props, opts)
        namespace = args.kube.apply([base.namespace(args.plan)], self)
        rest = args.kube.apply(base.inside(args.plan), self, depends_on=list(namespace.values()))
        self.resources = {**namespace, **rest}
        self.register_outputs(props)
