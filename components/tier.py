"""A complete tier: servers, models, gateway, autoscaling, monitoring."""

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
from tierup.manifests import retained
from tierup.plan.inputs import quote_inputs
from tierup.plan.model import Plan
from tierup.policies import budget
from tierup.resources.kinds import TIER


@dataclass(frozen=True)
class TierArgs:
    plan: Plan
    provider: k8s.Provider
    secret: Callable[[str], pulumi.Output[str]]
    before: Decimal | None = (
        None  # the stack's cost before this run, USD a month; None without an increase limit
    )


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
        props |= quote_inputs(plan.quotes) | budget.to_props(plan.budget)
        super().__init__(TIER, name, props, opts)
        child = pulumi.ResourceOptions(parent=self)
        foundation = Foundation(name, FoundationArgs(plan, kube), child)
        base = list(foundation.resources.values())
        # Nodes too depend on the namespace: with it in the state, the stack owns what an interrupted run left.
        self.nodes = GpuNodes(name, GpuNodesArgs(plan, kube, base), child)
        # Pods wait for the base objects' rules and for the labels by which they are scheduled.
        after = [*base, *self.nodes.resources.values()]
        self.cache = ModelCache(name, ModelCacheArgs(plan, kube, after), child)
        # The cache depends on every node. If each model did too, the state would have models x nodes dependencies.
        model_prerequisites = self.cache.prerequisites
        self.models, self.autoscalers = {}, {}
        for model in plan.models:
            self.models[model.name] = ModelServer(
                model.slug, ModelServerArgs(plan, model, kube, model_prerequisites), child
            )
            if plan.autoscaling.enabled:
                self.autoscalers[model.name] = Autoscaler(
                    model.slug, AutoscalerArgs(plan, model, kube, model_prerequisites), child
                )
        self.gateway = Gateway(name, GatewayArgs(plan, kube, after), child)
        self.monitoring = Monitoring(name, MonitoringArgs(plan, kube, after), child)
        self.outputs = {
            "gateway": self.gateway.address,
            "models": list(plan.served),
            "dashboards": self.monitoring.addresses,
            "retainedOnDestroy": retained(plan),
        }
        # A stack policy sees only the outputs of a component, not its inputs, so the inputs are registered too.
        self.register_outputs({**props, **budget.past_to_outputs(args.before), **self.outputs})
