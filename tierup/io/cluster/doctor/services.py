"""What the cluster serves to the stack: API kinds, metrics, cluster DNS."""

from collections.abc import Iterable, Mapping

from tierup.findings.model import counted
from tierup.io.cluster.client import Cluster, ClusterError
from tierup.io.cluster.doctor.model import Check, not_checked, ok, problem, warning
from tierup.io.cluster.kinds import how_to_serve, missing_kinds
from tierup.io.cluster.scalers import CUSTOM_METRICS, KEDA, may_scale
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

RESOURCE_METRICS = "metrics.k8s.io"
_RESOLVE = "--probe resolves a name in a pod"
_DNS_SLICES = (
    "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
    "?labelSelector=kubernetes.io%2Fservice-name%3Dkube-dns"
)


def apis(cluster: Cluster, manifests: Iterable[Manifest], groups: Mapping[str, str]) -> list[Check]:
    """A problem for each kind of the stack that the cluster does not serve."""
    all_manifests = list(manifests)
    checks = [
        problem("apis", f"the cluster does not serve {kinds}", how_to_serve(version))
        for version, kinds in missing_kinds(cluster, all_manifests).items()
    ]
    keda = "; KEDA is installed, the stack does not use it" if KEDA in groups else ""
    count = counted(len({(item["apiVersion"], item["kind"]) for item in all_manifests}), "kind")
    return checks or [ok("apis", f"the cluster serves all {count} of the stack{keda}")]


def metrics(cluster: Cluster, plan: Plan, groups: Mapping[str, str]) -> list[Check]:
    """Whether the autoscaler gets its metrics, beyond the preview's check of the custom ones."""
    if not may_scale(plan):
        return [ok("metrics", "not needed: no model may grow beyond its replicas")]
    checks = []
    if RESOURCE_METRICS not in groups:
        found = f"nothing serves {RESOURCE_METRICS}: the autoscaler does not see the CPU use"
        checks.append(warning("metrics", found, "install metrics-server"))
    served = [group for group in (CUSTOM_METRICS, RESOURCE_METRICS) if group in groups]
    checks.extend(check for group in served for check in _answers(cluster, group, groups[group]))
    return checks or [ok("metrics", f"{' and '.join(served)} answer")]


def _answers(cluster: Cluster, group: str, version: str) -> list[Check]:
    """A warning if an API is registered but its server does not answer."""
    try:
        cluster.get(f"/apis/{version or group}")
    except ClusterError as error:
        if error.status != 503:
            raise
        found = f"{group} is registered, and its server does not answer"
        return [warning("metrics", found, f"kubectl get apiservice {version.replace('/', '.')}")]
    return []


def dns(cluster: Cluster) -> Check:
    """Whether the cluster seems to have DNS; only a pod shows that names resolve."""
    try:
        listed = cluster.get(_DNS_SLICES) or {"items": []}
    except ClusterError as error:
        if not error.forbidden:
            raise
        found = "the user may not read kube-system, and only a pod shows that names resolve"
        return not_checked("dns", found, _RESOLVE)
    endpoints = [item for part in listed["items"] for item in part.get("endpoints") or ()]
    # Not set means ready.
    ready = sum(item.get("conditions", {}).get("ready") is not False for item in endpoints)
    if not ready:
        found = "no Service kube-dns with a ready endpoint in kube-system: pods may resolve no names"
        return warning("dns", found, f"install CoreDNS as kube-dns; {_RESOLVE}")
    found = f"kube-dns has {counted(ready, 'ready endpoint')}; only a pod shows that names resolve"
    return not_checked("dns", found, _RESOLVE)
