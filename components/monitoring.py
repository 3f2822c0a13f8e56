"""Monitoring: Prometheus and Grafana."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.kube import Kube
from tierup.manifests import monitoring
from tierup.manifests.common import GRAFANA_PORT, PROMETHEUS_PORT
from tierup.plan.model import Plan


@dataclass(frozen=True)
class MonitoringArgs:
    plan: Plan
    kube: Kube
    after: Sequence[pulumi.Resource]


class Monitoring(pulumi.ComponentResource):
    """Prometheus and Grafana with its data source and boards."""

    resources: dict[str, pulumi.CustomResource]
    addresses: dict[str, str]

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        plan, host = args.plan.monitoring, f"{args.plan.namespace}.svc"
        props = {"mode": str(plan.mode), "retentionDays": plan.retention_days, "storageGib": plan.storage_gib}
        self.addresses = {
            "prometheus": f"http://prometheus.{host}:{PROMETHEUS_PORT}",
            "grafana": f"http://grafana.{host}:{GRAFANA_PORT}",
        }
        super().__init__("tierup:monitoring:Monitoring", name, props, opts)
        self.resources = args.kube.apply(monitoring.objects(args.plan), self, depends_on=args.after)
        self.register_outputs({**props, **self.addresses})
