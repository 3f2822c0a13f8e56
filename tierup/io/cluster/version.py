"""Decides whether a cluster's Kubernetes is new enough for the objects of a plan."""

import re

from tierup.catalog.versions import load_versions
from tierup.findings.model import Code, Finding
from tierup.io.cluster.client import Cluster

# Since 1.30 a preStop hook may be a `sleep` without a feature gate (KEP-3960: alpha in 1.29, beta and on in 1.30), and
# every gateway and model server has one: an older API server drops the field and refuses the hook that is then empty,
# an older kubelet does not wait. All else the manifests use is older: ContainerResource metrics of the autoscaler and
# `unhealthyPodEvictionPolicy` are on since 1.27.
MINIMUM = tuple(int(part) for part in load_versions().kubernetes.oldest.split("."))


def version_findings(cluster: Cluster) -> list[Finding]:
    """The API server, if it is too old."""
    told = cluster.get("/version") or {}
    # Vendors add to both: "v1.31.4-eks-abc", minor "30+".
    for version in (told.get("gitVersion", ""), f"{told.get('major', '')}.{told.get('minor', '')}"):
        if _parse(version) is not None:
            what = f"the API server at {cluster.ref.server}"
            return too_old(version, "cluster", what, "upgrade it, or name another cluster in tierup:cluster")
    return []


def too_old(version: str, path: str, what: str, fix: str) -> list[Finding]:
    """A finding if `version` is below the minimum; what is no version, as a simulated node's, is passed over."""
    found = _parse(version)
    if found is None or found >= MINIMUM:
        return []
    problem = (
        f"{what} is too old: it does not know the preStop `sleep` by which pods leave without losing requests"
    )
    allowed = f"{MINIMUM[0]}.{MINIMUM[1]} or newer"
    return [Finding(Code.CLUSTER_TOO_OLD, path, problem, fix, version, allowed)]


def _parse(version: str) -> tuple[int, int] | None:
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match is not None else None
