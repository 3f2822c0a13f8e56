"""Run single pods of a rendered tier on a local cluster's real node, as their manifests say."""

from typing import Any

from pods import Pods
from polling import until

from tierup.local.cluster.cluster import Cluster
from tierup.manifests import render
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

NAMESPACE = "tier-pods"
_PLACEMENT = (
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "priorityClassName",
    "serviceAccountName",
)
_CPU = "100m"  # what a pod asks for; other tests use the machine too


class TierPods(Pods):
    """Pods of a plan in a namespace without Pod Security, so that they may mount folders of this machine."""

    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        super().__init__(cluster, NAMESPACE)
        self.objects = render(plan)
        cluster.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for manifest in self.objects:
            if manifest["kind"] == "ConfigMap":
                cluster.api.apply(_here(manifest))

    def start(self, workload: str, volumes: dict[str, Manifest] | None = None) -> dict[str, Any]:
        """Create the pod of a Deployment and return its spec; `volumes` replaces volumes by name.

        Where it is placed, how many processors it asks for and its GPUs are left out.
        """
        (deployment,) = (
            manifest
            for manifest in self.objects
            if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == workload
        )
        spec = {
            key: value
            for key, value in deployment["spec"]["template"]["spec"].items()
            if key not in _PLACEMENT
        }
        replaced = volumes if volumes is not None else {}
        spec["volumes"] = [
            {"name": volume["name"], **replaced[volume["name"]]} if volume["name"] in replaced else volume
            for volume in spec["volumes"]
        ]
        for kind in ("initContainers", "containers"):
            spec[kind] = [_affordable(container) for container in spec.get(kind, ())]
        metadata = {"name": workload, "namespace": NAMESPACE}
        self.cluster.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        return spec

    def remove(self, workload: str) -> None:
        self.kubectl("delete", "pod", workload, "--grace-period=0", "--force")
        until(lambda: self.cluster.api.get("v1", "Pod", workload, NAMESPACE) is None, f"no {workload}")


def _affordable(container: Manifest) -> Manifest:
    limits = {"memory": container["resources"]["limits"]["memory"]}
    return container | {"resources": {"limits": limits, "requests": {"cpu": _CPU, "memory": "64Mi"}}}


def _here(manifest: Manifest) -> Manifest:
    return manifest | {"metadata": {"name": manifest["metadata"]["name"], "namespace": NAMESPACE}}
