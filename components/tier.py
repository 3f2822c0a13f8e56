"""A whole tier: servers, models, gateway, autoscaling, monitoring."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.autoscaler import Autoscaler, AutoscalerArgs
from components.foundation import Foundation, FoundationArgs
from components.gateway import Gateway, GatewayArgs
from components.kube import Kube
from components.model_server import ModelCache, ModelCacheArgs, ModelServer, ModelServerArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.nodes.existing import GpuNodes, GpuNodesArgs
from tierup.cost.bill import quotes
from tierup.manifests import retained
from tierup.plan.model import Plan
from tierup.policies import budget


@dataclass(frozen=True)
class TierArgs:
    plan: Plan
    provider: k8s.Provider
    secret: Callable[[str], pulumi.Output[str]]
    before: Decimal | None = None  # what the stack cost a month before this run, USD; None where nobody asks


class InferenceTier(pulumi.ComponentResource):
    """One stack file as a running service."""

    nodes: GpuNodes
    cache: ModelCache
    models: dict[str, ModelServer]
    autoscalers: dict[str, Autoscaler]
    gateway: Gateway
    monitoring: Monitoring
    outputs: dict[str, Any]

    def __init__(self, name: str, args: TierArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        plan, kube = args.plan, Kube(args.provider, args.secret)
        props = {"stack": plan.stack, "namespace": plan.namespace, "gpus": plan.gpus_used}
        props |= quotes.to_props(plan.quotes) | budget.to_props(plan.budget)
        super().__init__("tierup:index:InferenceTier", name, props, opts)
        child = pulumi.ResourceOptions(parent=self)
        foundation = Foundation(name, FoundationArgs(plan, kube), child)
        ground = list(foundation.resources.values())
        # Nodes too: whoever holds the namespace holds whatever else an interrupted run left.
        self.nodes = GpuNodes(name, GpuNodesArgs(plan, kube, ground), child)
        # Pods wait for the rules that bind them and for the labels that place them.
        after = [*ground, *self.nodes.resources.values()]
        self.cache = ModelCache(name, ModelCacheArgs(plan, kube, after), child)
        # The cache waits for every node: if each model did too, the state would name models x nodes of them.
        stage = self.cache.ground
        self.models, self.autoscalers = {}, {}
        for model in plan.models:
            self.models[model.name] = ModelServer(
                model.slug, ModelServerArgs(plan, model, kube, stage), child
            )
            if plan.autoscaling.enabled:
                self.autoscalers[model.name] = Autoscaler(
                    model.slug, AutoscalerArgs(plan, model, kube, stage), child
                )
        self.gateway = Gateway(name, GatewayArgs(plan, kube, after), child)
        self.monitoring = Monitoring(name, MonitoringArgs(plan, kube, after), child)
        self.outputs = {
            "gateway": self.gateway.address,
            "models": list(plan.model_names),
            "dashboards": self.monitoring.addresses,
            "retainedOnDestroy": retained(plan),
        }
        # A policy over the whole stack reads what was registered: there, what a resource was given is not told.
        self.register_outputs({**props, **budget.past_to_outputs(args.before), **self.outputs})
